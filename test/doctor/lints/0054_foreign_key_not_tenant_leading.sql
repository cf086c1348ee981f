-- expects: files_origin_fkey on app.files
-- flaw
reset role;
alter table app.files add constraint files_origin_fkey foreign key (job_id, tenant_id) references app.jobs (id, tenant_id);
-- fixed
reset role;
alter table app.files drop constraint files_origin_fkey;
alter table app.files add constraint files_origin_fkey foreign key (tenant_id, job_id) references app.jobs (tenant_id, id);
