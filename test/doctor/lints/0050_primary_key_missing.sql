-- expects: app.files
-- flaw
alter table app.files drop constraint files_pkey;
alter table app.files alter column tenant_id set not null;
-- fixed
alter table app.files add constraint files_pkey primary key (tenant_id, id);
