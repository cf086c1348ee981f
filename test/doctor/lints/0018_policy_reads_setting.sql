-- expects: "Claims" on app.files
-- flaw
create policy "Claims" on app.files as restrictive for select to tenant_user
  using (tenant_id = current_setting('request.jwt.claims', true)::json ->> 'tenant_id');
-- fixed
drop policy "Claims" on app.files;
