-- expects: files_source_job_fkey on app.files
-- flaw
reset role;
alter table app.files add column source_job_id uuid;
alter table app.files add constraint files_source_job_fkey foreign key (tenant_id, source_job_id) references app.jobs (tenant_id, id);
-- fixed
create index files_source_job_idx on app.files (tenant_id, source_job_id);
