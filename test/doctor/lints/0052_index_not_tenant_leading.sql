-- expects: app.files_name_idx
-- expects: app.files_lower_idx
-- flaw
create index files_name_idx on app.files (name);
create index files_lower_idx on app.files (lower(name), tenant_id);
-- fixed
drop index app.files_name_idx, app.files_lower_idx;
create index files_name_idx on app.files (tenant_id, name);
