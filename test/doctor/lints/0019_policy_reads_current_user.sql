-- expects: "By name" on app.files
-- flaw
create policy "By name" on app.files as restrictive for select to tenant_user using (current_user = 'tenant_user');
-- fixed
drop policy "By name" on app.files;
