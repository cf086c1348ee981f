-- migrate:up
set local lock_timeout = '3s';
set local search_path = '';

--@ table app.jobs
create table app.jobs (
  tenant_id tenancy.tenant_id not null,
  id uuid not null default uuidv7(),
  type text collate "C" not null,
  input jsonb not null default '{}',
  idempotency_key text,
  status text collate "C" not null default 'queued',
  attempts integer not null default 0,
  max_attempts integer not null default 3,
  progress jsonb not null default '{}',
  result jsonb,
  error jsonb,
  created_by text not null default request.subject(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  queued_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  constraint jobs_pkey primary key (tenant_id, id),
  constraint jobs_idempotency_key_key unique (tenant_id, idempotency_key),
  constraint jobs_idempotency_key_length check (length(idempotency_key) between 1 and 255),
  constraint jobs_input_is_an_object check (jsonb_typeof(input) = 'object' and octet_length(input::text) <= 262144),
  constraint jobs_status_known check (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
  constraint jobs_attempts_in_range check (attempts >= 0 and max_attempts > 0),
  constraint jobs_finished_when_over check ((status in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null))
) partition by hash (tenant_id);
create index jobs_created_at_idx on app.jobs (tenant_id, created_at desc, id desc);
comment on table app.jobs is $$Jobs

Insert one to submit it: type, input and, if you may repeat the request, an idempotency_key. Its progress, result or error appear in the row.$$;
comment on column app.jobs.type is 'One of the registered job types, such as csv.validate.';
comment on column app.jobs.input is 'What the type asks for: see its schema in docs/jobs.md.';
comment on column app.jobs.idempotency_key is 'The same key with the same type and input answers with the first job; with another body it is a 409.';
comment on column app.jobs.status is 'queued, running, succeeded, failed or cancelled.';
comment on column app.jobs.attempts is 'How many times a worker has started it.';
select tenancy.protect('app.jobs', expose => true, client_verbs => '{delete}');
grant select on app.jobs to rowhouse_worker, rowhouse_edge;
grant update (status, attempts, progress, result, error, queued_at, started_at, finished_at) on app.jobs to rowhouse_worker;
-- Clients submit, cancel and retry through v1; the guard below decides what else may change.
grant insert (type, input, idempotency_key) on app.jobs to tenant_user;
grant insert (type, input, idempotency_key) on v1.jobs to tenant_user;

--@ function app.guard_job()
create function app.guard_job()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  if tg_op = 'INSERT' then
    if not exists (select from tenancy.job_types where type = new.type) then
      perform request.raise_error('job_type_unknown', format('no worker handles %s', new.type), 'the types are listed in docs/jobs.md');
    end if;
  elsif old.status <> new.status and (old.status, new.status) not in (
    ('queued', 'running'), ('queued', 'cancelled'), ('queued', 'failed'),
    ('running', 'queued'), ('running', 'succeeded'), ('running', 'failed'), ('running', 'cancelled'),
    ('failed', 'queued'), ('cancelled', 'queued')) then
    perform request.raise_error('job_transition', format('a job that is %s cannot become %s', old.status, new.status));
  end if;
  return new;
end
$$;
comment on function app.guard_job() is 'Which jobs can be submitted and which way their status moves. Raises job_type_unknown, job_transition.';

--@ trigger guard_job on app.jobs
create trigger guard_job before insert or update of status on app.jobs
  for each row execute function app.guard_job();

--@ table app.files
create table app.files (
  tenant_id tenancy.tenant_id not null,
  id uuid not null default uuidv7(),
  name text not null,
  content_type text not null default 'application/octet-stream',
  size bigint not null,
  sha256 text collate "C",
  kind text collate "C" not null default 'upload',
  status text collate "C" not null default 'pending',
  job_id uuid,
  created_by text not null default request.subject(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  stored_at timestamptz,
  constraint files_pkey primary key (tenant_id, id),
  constraint files_job_fkey foreign key (tenant_id, job_id) references app.jobs (tenant_id, id) on delete cascade,
  constraint files_one_output_of_a_kind unique (tenant_id, job_id, kind),
  constraint files_name_form check (length(name) between 1 and 255 and name !~ '[\x01-\x1f\x7f/\\]'),
  constraint files_content_type_form check (content_type ~ '^[A-Za-z0-9!#$&^_.+-]{1,80}/[A-Za-z0-9!#$&^_.+-]{1,80}(; ?charset=[A-Za-z0-9_-]{1,40})?$'),
  constraint files_size_not_negative check (size >= 0),
  constraint files_sha256_form check (sha256 ~ '^[0-9a-f]{64}$'),
  constraint files_kind_known check (kind in ('upload', 'repaired', 'report')),
  constraint files_upload_has_no_job check ((kind = 'upload') = (job_id is null)),
  constraint files_status_known check (status in ('pending', 'stored')),
  constraint files_stored_is_whole check ((status = 'stored') = (stored_at is not null) and (status = 'pending' or sha256 is not null))
) partition by hash (tenant_id);
create index files_created_at_idx on app.files (tenant_id, created_at desc, id desc);
comment on table app.files is $$Files

What the tenant uploaded, and what its jobs wrote. The bytes are fetched at /storage/v1/files/{id}.$$;
comment on column app.files.size is 'Bytes: as announced until the file is stored, as stored from then on.';
comment on column app.files.sha256 is 'Lower-case hex. If announced with the upload, the body must match it.';
comment on column app.files.kind is '`upload`, or what a job wrote: `repaired`, `report`.';
comment on column app.files.status is '`pending` until the bytes are there, then `stored`.';
comment on column app.files.job_id is 'The job that wrote this file.';
select tenancy.protect('app.files', expose => true,
  server_columns => '{kind,status,job_id,created_by,stored_at}');
-- Once announced, only a file's name changes: its size and checksum are what the signed URL was made for.
revoke update on app.files, v1.files from tenant_user;
grant update (name) on app.files, v1.files to tenant_user;
grant select on app.files to rowhouse_worker, rowhouse_edge;
grant insert (name, content_type, size, kind, job_id), update (name, size, sha256, status, stored_at) on app.files to rowhouse_worker;
grant update (size, sha256, status, stored_at) on app.files to rowhouse_edge;

--@ function app.mark_file_stored(uuid, bigint, text)
create function app.mark_file_stored(file_id uuid, stored_size bigint, stored_sha256 text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  file app.files;
begin
  select * into file from app.files where tenant_id = request.tenant_id() and id = file_id for no key update;
  if not found then
    perform request.raise_error('file_not_found');
  elsif file.status = 'stored' and file.kind = 'upload' then
    perform request.raise_error('file_exists', null, 'a file is written once: start another upload');
  elsif file.kind = 'upload' and file.sha256 is not null and file.sha256 <> stored_sha256 then
    perform request.raise_error('upload_checksum', null, 'upload the bytes that the checksum was made of');
  end if;
  update app.files set size = stored_size, sha256 = stored_sha256, status = 'stored', stored_at = now()
  where tenant_id = request.tenant_id() and id = file_id;
end
$$;
comment on function app.mark_file_stored(uuid, bigint, text) is
  'Records that the bytes of a file are in storage. An upload is written once; a job that is repeated writes its outputs again. '
  'Raises file_not_found, file_exists, upload_checksum.';
grant execute on function app.mark_file_stored(uuid, bigint, text) to rowhouse_edge, rowhouse_worker;

--@ table app.job_findings
create table app.job_findings (
  tenant_id tenancy.tenant_id not null,
  job_id uuid not null,
  ordinal integer not null,
  row bigint,
  column_name text,
  rule text collate "C" not null,
  severity text collate "C" not null default 'error',
  message text not null,
  value text,
  repaired text,
  created_at timestamptz not null default now(),
  constraint job_findings_pkey primary key (tenant_id, job_id, ordinal),
  constraint job_findings_job_fkey foreign key (tenant_id, job_id) references app.jobs (tenant_id, id) on delete cascade,
  constraint job_findings_severity_known check (severity in ('error', 'warning')),
  constraint job_findings_value_length check (length(value) <= 300 and length(repaired) <= 300 and length(message) <= 500)
) partition by hash (tenant_id);
comment on table app.job_findings is $$Findings of jobs

What a job found wrong, in the order of the file, up to the limit that the job was given. All of them are in its report file.$$;
comment on column app.job_findings.ordinal is 'Counts the findings of a job from 0, in the order of the file.';
comment on column app.job_findings.row is 'The record of the file, counted from 1 without the header; null for the file as a whole.';
comment on column app.job_findings.repaired is 'What the repaired file has instead.';
-- No ledger: findings are derived from a file and a job that are both in it, and can be a thousand for each job.
select tenancy.protect('app.job_findings', ledger => false, expose => true, client_verbs => '{}');
grant select on app.job_findings to rowhouse_worker;
grant insert (job_id, ordinal, row, column_name, rule, severity, message, value, repaired), delete on app.job_findings to rowhouse_worker;

--@ function app.require_lease(uuid, integer)
create function app.require_lease(wanted_job uuid, attempt integer)
returns text
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  job app.jobs;
begin
  select * into job from app.jobs where tenant_id = request.tenant_id() and id = wanted_job for no key update;
  if not found then
    perform request.raise_error('job_not_found');
  elsif job.attempts <> attempt or job.status not in ('running', 'cancelled') then
    perform request.raise_error('lease_lost', format('attempt %s is over', attempt));
  end if;
  return job.status;
end
$$;
comment on function app.require_lease(uuid, integer) is
  'Locks a job for the attempt that runs it and returns its status, running or cancelled. A worker that was taken for dead finds out '
  'here. Raises job_not_found, lease_lost.';

--@ function app.start_job(uuid)
create function app.start_job(job_id uuid)
returns table (type text, input jsonb, attempt integer)
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_column
begin
  return query
    update app.jobs as j
    set status = 'running', attempts = j.attempts + 1, started_at = coalesce(j.started_at, clock_timestamp()), progress = '{}'
    where j.tenant_id = request.tenant_id() and j.id = start_job.job_id and j.status in ('queued', 'running')
    returning j.type, j.input, j.attempts;
end
$$;
comment on function app.start_job(uuid) is
  'Begins the next attempt, taking over from one that died. No row: the job is over, cancelled or gone.';

--@ function app.report_progress(uuid, integer, jsonb)
create function app.report_progress(job_id uuid, attempt integer, new_progress jsonb)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  if app.require_lease(job_id, attempt) = 'cancelled' then
    return false;
  end if;
  update app.jobs set progress = new_progress where tenant_id = request.tenant_id() and id = job_id;
  return true;
end
$$;
comment on function app.report_progress(uuid, integer, jsonb) is 'False: the job was cancelled, stop. Raises job_not_found, lease_lost.';

--@ function app.record_findings(uuid, integer, jsonb)
create function app.record_findings(for_job uuid, attempt integer, findings jsonb)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  perform app.require_lease(for_job, attempt);
  insert into app.job_findings (job_id, ordinal, row, column_name, rule, severity, message, value, repaired)
  select for_job, f.ordinal, f.row, f.column_name, f.rule, coalesce(f.severity, 'error'), f.message, f.value, f.repaired
  from jsonb_to_recordset(findings) as f (
    ordinal integer, row bigint, column_name text, rule text, severity text, message text, value text, repaired text)
  on conflict (tenant_id, job_id, ordinal) do nothing;
end
$$;
comment on function app.record_findings(uuid, integer, jsonb) is
  'Adds a batch of findings. An attempt that repeats an earlier one adds the same ordinals, which are kept once. Raises lease_lost.';

--@ function app.create_output_file(uuid, integer, text, text, text)
create function app.create_output_file(for_job uuid, attempt integer, kind text, name text, content_type text)
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_variable
declare
  file_id uuid;
begin
  perform app.require_lease(for_job, attempt);
  insert into app.files as f (job_id, kind, name, content_type, size)
  values (for_job, kind, name, content_type, 0)
  on conflict on constraint files_one_output_of_a_kind do update set name = excluded.name
  returning f.id into file_id;
  return file_id;
end
$$;
comment on function app.create_output_file(uuid, integer, text, text, text) is
  'The file that a job writes: the same one however often the job is repeated. kind: repaired or report. Raises lease_lost.';

--@ function app.finish_job(uuid, integer, text, jsonb, jsonb)
create function app.finish_job(job_id uuid, attempt integer, final_status text, job_result jsonb, job_error jsonb)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  if app.require_lease(job_id, attempt) = 'cancelled' and final_status = 'cancelled' then
    return;
  end if;
  update app.jobs set status = final_status, result = job_result, error = job_error, finished_at = clock_timestamp()
  where tenant_id = request.tenant_id() and id = job_id;
end
$$;
comment on function app.finish_job(uuid, integer, text, jsonb, jsonb) is
  'Ends a job as succeeded, failed or cancelled. Raises job_not_found, lease_lost, job_transition (it was cancelled meanwhile).';

--@ function app.requeue_job(uuid, integer, jsonb)
create function app.requeue_job(job_id uuid, attempt integer, job_error jsonb)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  if app.require_lease(job_id, attempt) = 'running' then
    update app.jobs set status = 'queued', error = job_error where tenant_id = request.tenant_id() and id = job_id;
  end if;
end
$$;
comment on function app.requeue_job(uuid, integer, jsonb) is 'Puts a job back for its next attempt. Raises job_not_found, lease_lost.';

--@ function app.abandon_job(uuid, jsonb)
create function app.abandon_job(job_id uuid, job_error jsonb)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  update app.jobs set status = 'failed', error = job_error, finished_at = clock_timestamp()
  where tenant_id = request.tenant_id() and id = job_id and status in ('queued', 'running');
  return found;
end
$$;
comment on function app.abandon_job(uuid, jsonb) is
  'Fails a job whose every attempt died without a word: its delivery is among the dead letters. True if it was not over yet.';

--@ grants app.job_runs
grant execute on function
  app.require_lease(uuid, integer),
  app.start_job(uuid),
  app.report_progress(uuid, integer, jsonb),
  app.record_findings(uuid, integer, jsonb),
  app.create_output_file(uuid, integer, text, text, text),
  app.finish_job(uuid, integer, text, jsonb, jsonb),
  app.requeue_job(uuid, integer, jsonb),
  app.abandon_job(uuid, jsonb)
  to rowhouse_worker;

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ run undo grants app.job_runs
-- Privileges: check by hand that no other object of the book grants the same.
revoke execute on function app.require_lease(uuid, integer), app.start_job(uuid), app.report_progress(uuid, integer, jsonb), app.record_findings(uuid, integer, jsonb), app.create_output_file(uuid, integer, text, text, text), app.finish_job(uuid, integer, text, jsonb, jsonb), app.requeue_job(uuid, integer, jsonb), app.abandon_job(uuid, jsonb) from rowhouse_worker;

--@ drop grants app.job_runs

--@ drop function app.abandon_job(uuid, jsonb)
drop function app.abandon_job(uuid, jsonb);

--@ drop function app.requeue_job(uuid, integer, jsonb)
drop function app.requeue_job(uuid, integer, jsonb);

--@ drop function app.finish_job(uuid, integer, text, jsonb, jsonb)
drop function app.finish_job(uuid, integer, text, jsonb, jsonb);

--@ drop function app.create_output_file(uuid, integer, text, text, text)
drop function app.create_output_file(uuid, integer, text, text, text);

--@ drop function app.record_findings(uuid, integer, jsonb)
drop function app.record_findings(uuid, integer, jsonb);

--@ drop function app.report_progress(uuid, integer, jsonb)
drop function app.report_progress(uuid, integer, jsonb);

--@ drop function app.start_job(uuid)
drop function app.start_job(uuid);

--@ drop function app.require_lease(uuid, integer)
drop function app.require_lease(uuid, integer);

--@ drop table app.job_findings
drop view v1.job_findings;
drop table app.job_findings;

--@ drop function app.mark_file_stored(uuid, bigint, text)
drop function app.mark_file_stored(uuid, bigint, text);

--@ drop table app.files
drop view v1.files;
drop table app.files;

--@ drop trigger guard_job on app.jobs
drop trigger guard_job on app.jobs;

--@ drop function app.guard_job()
drop function app.guard_job();

--@ drop table app.jobs
drop view v1.jobs;
drop table app.jobs;
