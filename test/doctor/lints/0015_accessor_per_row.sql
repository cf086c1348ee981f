-- expects: "A writer deletes rows of their tenant" on tenancy.members
-- flaw
alter policy "A writer deletes rows of their tenant" on tenancy.members using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()
  and (select request.has_tenant_role('admin')) and (role <> 'owner' or request.has_tenant_role('owner')));
-- fixed
alter policy "A writer deletes rows of their tenant" on tenancy.members using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()
  and (select request.has_tenant_role('admin')) and (role <> 'owner' or (select request.has_tenant_role('owner'))));
