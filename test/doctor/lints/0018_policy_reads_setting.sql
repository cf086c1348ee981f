-- expects: "A member reads the rows of their tenant" on app.files
-- flaw
alter policy "A member reads the rows of their tenant" on app.files using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()
  and (select request.has_tenant_role('viewer'))
  and tenant_id = current_setting('request.jwt.claims', true)::json ->> 'tenant_id');
-- fixed
alter policy "A member reads the rows of their tenant" on app.files using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()
  and (select request.has_tenant_role('viewer')));
