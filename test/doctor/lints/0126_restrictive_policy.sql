-- expects: "Only uploads" on app.files
-- flaw
create policy "Only uploads" on app.files as restrictive for delete to tenant_user using (kind = 'upload');
-- fixed
drop policy "Only uploads" on app.files;
alter policy "A writer deletes rows of their tenant" on app.files using ((select request.tenant_id()) = any (array[tenant_id::text])
  and tenant_id = request.tenant_id() and (select request.has_tenant_role('member')) and kind = 'upload');
