-- expects: app.jobs for tenant_user (select)
-- flaw
drop policy "A member reads the rows of their tenant" on app.jobs;
-- fixed
create policy "A member reads the rows of their tenant" on app.jobs for select to tenant_user using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id());
