-- expects: "A side door" on app.files_p00
-- flaw
create policy "A side door" on app.files_p00 for select to tenant_user using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id());
-- fixed
drop policy "A side door" on app.files_p00;
