-- expects: "A member reads the rows of their tenant" on app.files
-- expects: "A writer deletes rows of their tenant" on app.jobs
-- expects: "A service works within its sealed tenant" on app.files
-- flaw
alter policy "A member reads the rows of their tenant" on app.files using (tenant_id = 't_acme');
alter policy "A writer deletes rows of their tenant" on app.jobs using (tenant_id = request.tenant_id() or status = 'failed');
alter policy "A service works within its sealed tenant" on app.files using (((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and kind = 'upload') or kind = 'report');
-- fixed
alter policy "A member reads the rows of their tenant" on app.files using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id());
alter policy "A writer deletes rows of their tenant" on app.jobs using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('member')) and (status = 'failed' or status = 'cancelled'));
alter policy "A service works within its sealed tenant" on app.files using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and kind = 'upload');
