--@ table app.job_schedules
create table app.job_schedules (
  tenant_id tenancy.tenant_id not null,
  id uuid not null default uuidv7(),
  name text not null,
  type text collate "C" not null,
  input jsonb not null default '{}',
  cron text collate "C" not null,
  time_zone text collate "C" not null default 'UTC',
  jitter_seconds integer not null default 15,
  enabled boolean not null default true,
  next_run_at timestamptz,
  last_run_at timestamptz,
  last_job_id uuid,
  error jsonb,
  created_by text not null default request.subject(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint job_schedules_pkey primary key (tenant_id, id),
  constraint job_schedules_name_key unique (tenant_id, name),
  constraint job_schedules_name_length check (length(name) between 1 and 200),
  constraint job_schedules_input_is_an_object check (jsonb_typeof(input) = 'object' and octet_length(input::text) <= 262144),
  constraint job_schedules_jitter_range check (jitter_seconds between 0 and 3600),
  constraint job_schedules_due_when_enabled check (enabled or next_run_at is null)
) partition by hash (tenant_id);
create index job_schedules_created_at_idx on app.job_schedules (tenant_id, created_at desc, id desc);
comment on table app.job_schedules is $$Schedules of jobs

Submits a job whenever its cron expression says so. A job that it submitted has its schedule_id.$$;
comment on column app.job_schedules.type is 'One of the registered job types, such as csv.validate.';
comment on column app.job_schedules.input is 'The input of every job that it submits.';
comment on column app.job_schedules.cron is $$Minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly, @yearly.
@sample "30 2 * * *"$$;
comment on column app.job_schedules.time_zone is $$The IANA name of the zone whose clock is meant, such as Europe/Berlin.
@sample "Europe/Berlin"$$;
comment on column app.job_schedules.jitter_seconds is 'It runs up to so many seconds after the time, always the same number: not everything happens at midnight.';
comment on column app.job_schedules.enabled is $$Whether it runs.
@sample false$$;
comment on column app.job_schedules.next_run_at is 'When it runs next. Null while it is not enabled, and until a worker has seen a change, within seconds.';
comment on column app.job_schedules.last_job_id is 'The last job that it submitted.';
comment on column app.job_schedules.error is 'Why the last run submitted none.';
select tenancy.protect('app.job_schedules', partitions => 8, expose => true,
  server_columns => '{id,next_run_at,last_run_at,last_job_id,error,created_by}');
grant select, update (enabled, next_run_at, last_run_at, last_job_id, error) on app.job_schedules to rowhouse_worker;

-- It does not lead with the tenant: workers ask what is due, whosoever it is. A schedule without a time is due to be given one, since it was changed.
create index job_schedules_due_idx on app.job_schedules (coalesce(next_run_at, updated_at)) where enabled;
grant usage on schema app to rowhouse_dispatcher;
grant select (tenant_id, id, cron, time_zone, jitter_seconds, enabled, next_run_at, updated_at) on app.job_schedules to rowhouse_dispatcher;

--@ policy "The dispatcher sees when any tenant's schedules are due" on app.job_schedules
create policy "The dispatcher sees when any tenant's schedules are due" on app.job_schedules
  for select to rowhouse_dispatcher using (true);

--@ policy "The quota counts the tenant's schedules" on app.job_schedules
create policy "The quota counts the tenant's schedules" on app.job_schedules
  for select to rowhouse_owner using (tenant_id = request.tenant_id());

--@ function app.guard_job_schedule()
create function app.guard_job_schedule()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  inserted constant boolean := tg_op = 'INSERT';
  problem text := case when new.cron is null then 'a value is required' when inserted or new.cron <> old.cron then app.cron_problem(new.cron) end;
begin
  if problem is not null then
    perform request.raise_error('job_schedule_invalid', 'cron: ' || problem, 'for example 30 2 * * mon-fri');
  elsif (inserted or new.time_zone <> old.time_zone) and not app.is_time_zone(new.time_zone) then
    perform request.raise_error('job_schedule_invalid', 'time_zone: no zone is called ' || new.time_zone, 'for example Europe/Berlin');
  elsif (inserted or new.type <> old.type) and not exists (select from tenancy.job_types where type = new.type) then
    perform request.raise_error('job_type_unknown',
      case when new.type is null then 'type: a value is required' else format('no worker handles %s', new.type) end,
      (select 'give one of: ' || string_agg(type, ', ' order by type) from tenancy.job_types));
  end if;
  if inserted or (new.type, new.cron, new.time_zone, new.jitter_seconds, new.enabled)
      <> (old.type, old.cron, old.time_zone, old.jitter_seconds, old.enabled) then
    -- A worker computes the time. What was missed while it was off, or said otherwise, is not made up for.
    new.next_run_at := null;
    new.error := case when not inserted and new.error is distinct from old.error then new.error end;
  end if;
  return new;
end
$$;
comment on function app.guard_job_schedule() is 'Which schedules can be stored. Raises job_schedule_invalid, job_type_unknown.';

--@ trigger guard_job_schedule on app.job_schedules
create trigger guard_job_schedule before insert or update of type, cron, time_zone, jitter_seconds, enabled on app.job_schedules
  for each row execute function app.guard_job_schedule();

--@ function app.check_schedule_quota()
create function app.check_schedule_quota()
returns trigger
language plpgsql
volatile
security definer -- clients may not read the plans, nor lock their tenant's row
set search_path = ''
parallel unsafe
as $$
declare
  allowed integer;
  used bigint;
  requested bigint := (select count(*) from new_rows);
begin
  -- Locks the tenant's row: two at once could each find room for the last one.
  select p.job_schedules into allowed
  from tenancy.tenants as t join tenancy.plans as p on p.tier = t.tier
  where t.id = request.tenant_id() for no key update of t;
  select count(*) - requested into used from app.job_schedules where tenant_id = request.tenant_id();
  if requested > 0 and used + requested > allowed then
    perform request.raise_error('quota_exceeded',
      format('job_schedules: the limit is %s, %s are used, %s were requested', allowed, used, requested),
      'delete schedules that are not needed, or ask the operator for a larger plan');
  end if;
  return null;
end
$$;
comment on function app.check_schedule_quota() is 'Statement trigger: a tenant has as many schedules as its plan says. Raises quota_exceeded.';

--@ trigger check_schedule_quota on app.job_schedules
create trigger check_schedule_quota after insert on app.job_schedules referencing new table as new_rows
  for each statement execute function app.check_schedule_quota();
