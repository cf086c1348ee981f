-- expects: app.files
-- expects: app.jobs
-- flaw
alter table app.files alter column tenant_id drop default;
alter table app.jobs alter column tenant_id set default 't_acme';
-- fixed
alter table app.files alter column tenant_id set default request.tenant_id();
alter table app.jobs alter column tenant_id set default request.tenant_id();
