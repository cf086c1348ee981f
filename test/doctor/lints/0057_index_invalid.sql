-- expects: app.files_size_idx
-- flaw
create index files_size_idx on only app.files (tenant_id, size);
-- fixed
drop index app.files_size_idx;
create index files_size_idx on app.files (tenant_id, size);
