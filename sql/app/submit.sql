--@ function app.submit_job()
create function app.submit_job()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  job app.jobs;
begin
  if new.tenant_id is not null and new.tenant_id <> request.tenant_id() then
    perform request.raise_error('tenant_mismatch', 'tenant_id names another tenant');
  end if;
  insert into app.jobs (type, input, idempotency_key, start_after)
  values (new.type, coalesce(new.input, '{}'), new.idempotency_key, new.start_after)
  on conflict on constraint jobs_idempotency_key_key do nothing
  returning * into job;
  if not found then
    select * into strict job from app.jobs where tenant_id = request.tenant_id() and idempotency_key = new.idempotency_key;
    if (job.type, job.input, job.start_after) is distinct from (new.type, coalesce(new.input, '{}'), new.start_after) then
      perform request.raise_error('idempotency_conflict', 'the first job with this key has another type, input or time', 'use another key');
    end if;
  end if;
  new := jsonb_populate_record(new, to_jsonb(job));
  return new;
end
$$;
comment on function app.submit_job() is
  'A repeated idempotency key answers with the first job. Raises idempotency_conflict, job_type_unknown, request_invalid.';

--@ function app.move_job(uuid,text,text[])
create function app.move_job(job_id uuid, new_status text, from_statuses text[])
returns app.jobs
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  job app.jobs;
begin
  if not request.has_tenant_role('member') then
    perform request.raise_error('role_insufficient', 'a viewer reads', 'ask an admin of the tenant for the role member');
  end if;
  select * into job from app.jobs where tenant_id = request.tenant_id() and id = job_id for no key update;
  if not found then
    perform request.raise_error('job_not_found');
  elsif job.status <> all (from_statuses) then
    perform request.raise_error('job_transition', format('a job that is %s cannot become %s', job.status, new_status));
  end if;
  update app.jobs set
    status = new_status,
    finished_at = case when new_status = 'cancelled' then clock_timestamp() end,
    queued_at = case when new_status = 'queued' then clock_timestamp() else queued_at end,
    started_at = case when new_status = 'queued' then null else started_at end,
    -- Attempts are never counted anew: their number is the lease, and an attempt from before must not pass for a new one.
    max_attempts = case
      when new_status = 'queued' then attempts + coalesce((select t.max_attempts from tenancy.job_types as t where t.type = job.type), 3)
      else max_attempts end,
    traceparent = case when new_status = 'queued' then coalesce(request.traceparent(), traceparent) else traceparent end,
    error = case when new_status = 'queued' then null else error end
  where tenant_id = request.tenant_id() and id = job_id
  returning * into job;
  return job;
end
$$;
comment on function app.move_job(uuid, text, text[]) is 'What cancel_job() and retry_job() do. Raises role_insufficient, job_not_found, job_transition.';

--@ policy "The client's moves of a job stay in its tenant" on app.jobs
create policy "The client's moves of a job stay in its tenant" on app.jobs
  for all to rowhouse_owner
  using (tenant_id = request.tenant_id()) with check (tenant_id = request.tenant_id());
