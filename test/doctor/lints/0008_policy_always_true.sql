-- expects: "A member reads the rows of their tenant" on app.files
-- expects: "A writer adds rows to their tenant" on app.jobs
-- flaw
alter policy "A member reads the rows of their tenant" on app.files using (true);
alter policy "A writer adds rows to their tenant" on app.jobs with check (tenant_id = request.tenant_id() or true);
-- fixed
alter policy "A member reads the rows of their tenant" on app.files using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id());
alter policy "A writer adds rows to their tenant" on app.jobs with check ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('member')));
