-- expects: app.jobs_type_key
-- flaw
alter table app.jobs add constraint jobs_type_key unique (type, queued_at, tenant_id);
-- fixed
alter table app.jobs drop constraint jobs_type_key;
alter table app.jobs add constraint jobs_type_key unique (tenant_id, type, queued_at);
