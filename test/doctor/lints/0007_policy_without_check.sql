-- expects: "A writer changes rows of their tenant" on app.files
-- expects: "A writer adds rows to their tenant" on app.jobs
-- flaw
drop policy "A writer changes rows of their tenant" on app.files;
create policy "A writer changes rows of their tenant" on app.files for update to tenant_user using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('member')));
drop policy "A writer adds rows to their tenant" on app.jobs;
create policy "A writer adds rows to their tenant" on app.jobs for insert to tenant_user;
-- fixed
alter policy "A writer changes rows of their tenant" on app.files with check ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('member')));
alter policy "A writer adds rows to their tenant" on app.jobs with check ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('member')));
