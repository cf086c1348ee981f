--@ function app.require_lease(uuid,integer)
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

--@ function app.report_progress(uuid,integer,jsonb)
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

--@ function app.record_findings(uuid,integer,jsonb)
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

--@ function app.create_output_file(uuid,integer,text,text,text)
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

--@ function app.finish_job(uuid,integer,text,jsonb,jsonb)
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

--@ function app.requeue_job(uuid,integer,jsonb)
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

--@ function app.abandon_job(uuid,jsonb)
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
