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
  schedule_id uuid,
  due_at timestamptz,
  traceparent text collate "C" default request.traceparent(),
  start_after timestamptz,
  constraint jobs_pkey primary key (tenant_id, id),
  constraint jobs_idempotency_key_key unique (tenant_id, idempotency_key),
  -- However many workers find a schedule due, and however often: one job.
  constraint jobs_one_for_each_due_time unique (tenant_id, schedule_id, due_at),
  constraint jobs_due_at_of_a_schedule check (schedule_id is null or due_at is not null),
  constraint jobs_idempotency_key_length check (length(idempotency_key) between 1 and 255),
  constraint jobs_input_is_an_object check (jsonb_typeof(input) = 'object' and octet_length(input::text) <= 262144),
  constraint jobs_progress_bounded check (octet_length(progress::text) <= 8192),
  constraint jobs_error_bounded check (octet_length(error::text) <= 16384),
  constraint jobs_traceparent_form check (traceparent ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'),
  constraint jobs_status_known check (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
  constraint jobs_attempts_in_range check (attempts >= 0 and max_attempts > 0),
  constraint jobs_finished_when_over check ((status in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null))
) partition by hash (tenant_id);
create index jobs_created_at_idx on app.jobs (tenant_id, created_at desc, id desc);
-- The dead letters. No column of it changes in a job that ends well, `error` being null throughout: its updates stay heap-only.
create index jobs_dead_idx on app.jobs (tenant_id, id) where error ->> 'code' = 'job_attempts_exhausted';
comment on table app.jobs is $$Jobs

Insert one to submit it: type, input and, if you may repeat the request, an idempotency_key. Its progress, result or error appear in the row.$$;
comment on column app.jobs.type is 'One of the registered job types, such as csv.validate.';
comment on column app.jobs.input is 'What the type asks for: see its schema in docs/jobs.md.';
comment on column app.jobs.idempotency_key is 'The same key with the same type, input and start_after answers with the first job; with another body it is a 409.';
comment on column app.jobs.status is 'queued, running, succeeded, failed or cancelled.';
comment on column app.jobs.attempts is 'How many times a worker has started it.';
-- No foreign key: deleting a schedule would change each of its jobs, half a million for a year of minutes.
comment on column app.jobs.schedule_id is 'The schedule that submitted it, which may be gone.';
comment on column app.jobs.due_at is 'For which time of its schedule.';
comment on column app.jobs.start_after is 'It is not started before this time, which is at most a year ahead; null: as soon as its turn comes.';
comment on column app.jobs.traceparent is 'The trace of the request that submitted it (W3C Trace Context), which its ledger entries carry on.';
select tenancy.protect('app.jobs', expose => true, client_verbs => '{delete}');
grant select on app.jobs to rowhouse_worker, rowhouse_edge;
grant insert (type, input, schedule_id, due_at),
  update (status, attempts, max_attempts, progress, result, error, queued_at, started_at, finished_at) on app.jobs to rowhouse_worker;
-- Clients submit, cancel and retry through v1; the guard below decides what else may change.
grant insert (type, input, idempotency_key, start_after) on app.jobs to tenant_user;
grant insert (type, input, idempotency_key, start_after) on v1.jobs to tenant_user;

--@ function app.guard_job()
create function app.guard_job()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  job_type tenancy.job_types;
begin
  select * into job_type from tenancy.job_types where type = new.type;
  if tg_op = 'INSERT' then
    if job_type.type is null then
      perform request.raise_error('job_type_unknown',
        case when new.type is null then 'type: a value is required' else format('no worker handles %s', new.type) end,
        (select 'give one of: ' || string_agg(type, ', ' order by type) from tenancy.job_types));
    end if;
    if new.start_after > now() + interval '1 year' or not isfinite(new.start_after) then
      perform request.raise_error('request_invalid', 'start_after is a time, at most a year ahead', 'leave it out to start at once');
    end if;
    new.max_attempts := job_type.max_attempts;
  elsif old.status <> new.status and (old.status, new.status) not in (
    ('queued', 'running'), ('queued', 'cancelled'), ('queued', 'failed'),
    ('running', 'queued'), ('running', 'succeeded'), ('running', 'failed'), ('running', 'cancelled'),
    ('failed', 'queued'), ('cancelled', 'queued')) then
    perform request.raise_error('job_transition', format('a job that is %s cannot become %s', old.status, new.status));
  end if;
  if octet_length(new.result::text) > coalesce(job_type.max_result_bytes, 262144) then
    perform request.raise_error('job_result_too_large',
      format('the result has %s bytes; %s may have %s', octet_length(new.result::text), new.type, coalesce(job_type.max_result_bytes, 262144)),
      'write a file, and return its id');
  end if;
  return new;
end
$$;
comment on function app.guard_job() is
  'Which jobs can be submitted, which way their status moves, and how large a result of their type may be. '
  'Raises job_type_unknown, request_invalid, job_transition, job_result_too_large.';

--@ trigger guard_job on app.jobs
create trigger guard_job before insert or update of status, result on app.jobs
  for each row execute function app.guard_job();
