-- expects: app.files
-- flaw
alter table app.files drop constraint files_pkey, alter column tenant_id drop not null;
-- fixed
alter table app.files add constraint files_pkey primary key (tenant_id, id);
