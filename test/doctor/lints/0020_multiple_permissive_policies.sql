-- expects: app.files for tenant_user (select)
-- flaw
create policy "Once more" on app.files for select to tenant_user using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id());
-- fixed
drop policy "Once more" on app.files;
