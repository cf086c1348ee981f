-- expects: policy "only\n\\! id"
-- expects: schema "spare\nparts"
-- flaw
create schema U&"spare\000Aparts";
alter policy "A member reads the rows of their tenant" on app.files rename to U&"only\000A\005C! id";
-- fixed
alter schema U&"spare\000Aparts" rename to spare_parts;
alter policy U&"only\000A\005C! id" on app.files rename to "only id";
