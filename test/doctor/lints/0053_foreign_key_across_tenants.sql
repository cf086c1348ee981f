-- expects: files_shared_job_fkey on app.files
-- flaw
reset role;
alter table app.files add column shared_with tenancy.tenant_id;
alter table app.files add constraint files_shared_job_fkey foreign key (shared_with, job_id) references app.jobs (tenant_id, id);
-- fixed
alter table app.files drop constraint files_shared_job_fkey;
