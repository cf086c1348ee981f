-- expects: "A member reads the rows of their tenant" on app.files
-- expects: "A writer changes rows of their tenant" on app.files
-- expects: "A writer deletes rows of their tenant" on app.jobs
-- flaw
alter policy "A member reads the rows of their tenant" on app.files using (tenant_id = request.tenant_id());
alter policy "A writer changes rows of their tenant" on app.files
  using (tenant_id = any (array[(select request.tenant_id())]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('member')));
alter policy "A writer deletes rows of their tenant" on app.jobs
  using (tenant_id = request.tenant_id() and (select request.tenant_id()) = any (array[tenant_id::text]) and (select request.has_tenant_role('member')));
-- fixed
alter policy "A member reads the rows of their tenant" on app.files using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id());
alter policy "A writer changes rows of their tenant" on app.files
  using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('member')));
alter policy "A writer deletes rows of their tenant" on app.jobs
  using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('member')) and status = 'failed');
