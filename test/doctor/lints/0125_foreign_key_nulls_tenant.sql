-- expects: notes_job_fkey on app.notes
-- flaw
create table app.notes (tenant_id tenancy.tenant_id not null, id uuid not null default uuidv7(), job_id uuid, primary key (tenant_id, id),
  constraint notes_job_fkey foreign key (tenant_id, job_id) references app.jobs (tenant_id, id) on delete set null) partition by hash (tenant_id);
create index notes_job_idx on app.notes (tenant_id, job_id);
select tenancy.protect('app.notes', partitions => 1);
-- fixed
drop table app.notes;
create table app.notes (tenant_id tenancy.tenant_id not null, id uuid not null default uuidv7(), job_id uuid, primary key (tenant_id, id),
  constraint notes_job_fkey foreign key (tenant_id, job_id) references app.jobs (tenant_id, id) on delete set null (job_id)) partition by hash (tenant_id);
create index notes_job_idx on app.notes (tenant_id, job_id);
select tenancy.protect('app.notes', partitions => 1);
