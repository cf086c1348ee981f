-- expects: policy "only\n\\! id"
-- expects: schema "spare\nparts"
-- flaw
create schema U&"spare\000Aparts";
create policy U&"only\000A\005C! id" on app.files as restrictive for select to tenant_user using (true);
-- fixed
alter schema U&"spare\000Aparts" rename to spare_parts;
alter policy U&"only\000A\005C! id" on app.files rename to "only id";
