-- expects: "A writer deletes rows of their tenant" on app.files
-- flaw
alter policy "A writer deletes rows of their tenant" on app.files
  using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('viewer')));
-- fixed
alter policy "A writer deletes rows of their tenant" on app.files
  using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('member')));
