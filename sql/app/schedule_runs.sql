--@ function ledger.due_schedules(integer)
set role rowhouse_dispatcher;
create function ledger.due_schedules(max_schedules integer)
returns table (
  tenant_id text, schedule_id uuid, cron text, time_zone text, jitter_seconds integer, next_run_at timestamptz, clock timestamptz)
language sql
stable
security definer -- workers read one tenant at a time; this says which tenants to look at, and nothing that they store
set search_path = ''
parallel unsafe
begin atomic
  -- Tenants take turns: one that changes its hundreds of schedules all the time would always be due before the others.
  select s.tenant_id::text, s.id, s.cron, s.time_zone, s.jitter_seconds, s.next_run_at, now()
  from (
    select due.*, row_number() over (partition by due.tenant_id order by coalesce(due.next_run_at, due.updated_at)) as turn
    from (
      select candidate.tenant_id, candidate.id, candidate.cron, candidate.time_zone, candidate.jitter_seconds, candidate.next_run_at, candidate.updated_at
      from app.job_schedules as candidate
      join tenancy.tenants as t on t.id = candidate.tenant_id and t.status = 'active'
      where candidate.enabled and coalesce(candidate.next_run_at, candidate.updated_at) <= now()
      order by coalesce(candidate.next_run_at, candidate.updated_at)
      limit max_schedules * 50 -- of whoever is due first; the others' turn comes when those have run
    ) as due
  ) as s
  order by s.turn, coalesce(s.next_run_at, s.updated_at)
  limit max_schedules;
end;
comment on function ledger.due_schedules(integer) is
  'The schedules whose time has come, or that have none yet, of tenants that are not suspended. clock: this server''s.';
grant execute on function ledger.due_schedules(integer) to rowhouse_worker;
set role rowhouse_owner;

--@ function app.run_schedule(uuid,timestamptz,timestamptz,timestamptz)
create function app.run_schedule(schedule_id uuid, expected timestamptz, due timestamptz, next timestamptz)
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_column
declare
  schedule app.job_schedules;
  job_id uuid;
  skipped jsonb;
begin
  select * into schedule from app.job_schedules as s
  where s.tenant_id = request.tenant_id() and s.id = run_schedule.schedule_id and s.enabled and s.next_run_at is not distinct from expected
  for no key update skip locked;
  if not found then
    return null; -- Another worker has it, or it was changed.
  end if;
  if due is not null then
    if exists (select from app.jobs as j where j.tenant_id = request.tenant_id() and j.schedule_id = schedule.id and j.status = 'queued') then
      -- Or a type that is paused for a day has hundreds of them afterwards.
      skipped := '{"code": "job_schedule_skipped", "message": "The job of an earlier run still waits"}';
    else
      insert into app.jobs (type, input, schedule_id, due_at) values (schedule.type, schedule.input, schedule.id, due)
      on conflict on constraint jobs_one_for_each_due_time do nothing
      returning id into job_id;
    end if;
  end if;
  update app.job_schedules as s
  set next_run_at = next,
      last_run_at = case when due is null then s.last_run_at else clock_timestamp() end,
      last_job_id = coalesce(job_id, s.last_job_id),
      error = case when due is null then s.error else skipped end
  where s.tenant_id = request.tenant_id() and s.id = schedule.id;
  return job_id;
end
$$;
comment on function app.run_schedule(uuid, timestamptz, timestamptz, timestamptz) is
  'Submits the job of a schedule that is due, once, and notes when it runs next. expected: next_run_at as it was read; due: null only to '
  'set the next time. Returns the job; null: another worker was first, or the run is skipped. Raises job_type_unknown.';

--@ function app.fail_schedule(uuid,timestamptz,timestamptz,jsonb)
create function app.fail_schedule(schedule_id uuid, expected timestamptz, next timestamptz, problem jsonb)
returns void
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  update app.job_schedules as s
  set next_run_at = next, enabled = next is not null, last_run_at = clock_timestamp(), error = problem
  where s.tenant_id = request.tenant_id() and s.id = schedule_id and s.enabled and s.next_run_at is not distinct from expected;
end;
comment on function app.fail_schedule(uuid, timestamptz, timestamptz, jsonb) is
  'Notes that a run submitted nothing, and why. next: null disables the schedule, since nobody can say when it would run.';
grant execute on function
  app.run_schedule(uuid, timestamptz, timestamptz, timestamptz), app.fail_schedule(uuid, timestamptz, timestamptz, jsonb)
  to rowhouse_worker;
