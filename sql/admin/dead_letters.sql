-- A dead letter is a job whose attempts are used up, as app.jobs says: one that its tenant retries or deletes is none any more. The letters
-- of the queue itself (pg-boss) only bring the news of jobs that died without a word, and go when it is written down.

--@ grants app.jobs to the dispatcher
-- When and of what a job died, and what it takes to queue it again. Not its input, result or progress.
grant select (tenant_id, id, type, status, attempts, error, traceparent, finished_at),
  update (status, max_attempts, error, queued_at, started_at, finished_at) on app.jobs to rowhouse_dispatcher;
grant select on tenancy.job_types to rowhouse_dispatcher;

--@ policy "The dispatcher queues any tenant's dead jobs again" on app.jobs
create policy "The dispatcher queues any tenant's dead jobs again" on app.jobs
  for all to rowhouse_dispatcher using (true) with check (true);

--@ function ledger.dead_letters(text,text,uuid[],integer)
set role rowhouse_dispatcher;
create function ledger.dead_letters(
  of_type text default null, of_tenant text default null, ids uuid[] default null, most integer default null)
returns table (job_id uuid, tenant_id text, type text, attempts integer, code text, died_at timestamptz, traceparent text, suspended boolean)
language sql
stable
security definer -- workers and the owner read one tenant at a time; this says which jobs have died, and nothing that they hold
set search_path = ''
parallel unsafe
begin atomic
  select j.id, j.tenant_id::text, j.type, j.attempts, j.error ->> 'cause', j.finished_at, j.traceparent, t.status = 'suspended'
  from app.jobs as j
  join tenancy.tenants as t on t.id = j.tenant_id
  where j.error ->> 'code' = 'job_attempts_exhausted' and j.status = 'failed'
    -- Inside a tenant's walls, that tenant's alone.
    and j.tenant_id = coalesce((select nullif(split_part(request.seal(), ' ', 1), '_')), j.tenant_id)
    and (of_type is null or j.type = of_type)
    and (of_tenant is null or j.tenant_id = of_tenant)
    and (ids is null or j.id = any (ids))
  order by j.finished_at, j.id
  limit most;
end;
comment on function ledger.dead_letters(text, text, uuid[], integer) is
  'The jobs whose attempts are used up, the oldest first: all that every given condition fits. code: of the last attempt''s error; null: it '
  'died without a word. suspended: its tenant is, so that it stays.';
grant execute on function ledger.dead_letters(text, text, uuid[], integer) to rowhouse_worker, rowhouse_owner;
set role rowhouse_owner;

--@ function ledger.redrive_jobs(text,text,uuid[],integer,boolean)
set role rowhouse_dispatcher;
create function ledger.redrive_jobs(
  of_type text default null, of_tenant text default null, ids uuid[] default null, most integer default null, dry_run boolean default false)
returns table (job_id uuid, tenant_id text, type text, attempts integer, code text, died_at timestamptz, traceparent text, suspended boolean)
language plpgsql
volatile
security definer -- as ledger.dead_letters(); an operator has no tenant to enter
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_column
declare
  -- Whoever is no operator redrives what is their own. Raises tenant_required where nobody has entered.
  own_tenant text := case when split_part(request.seal(), ' ', 3) = 'operator' then null else request.tenant_id() end;
  chosen uuid[];
  owners text[];
begin
  -- Locked by a statement of its own: an update that had to wait for another transaction could miss the row (test/sql/policies.test.ts).
  -- What is locked already is being retried, deleted or redriven.
  select coalesce(array_agg(dead.id), '{}'), coalesce(array_agg(dead.tenant_id), '{}') into chosen, owners from (
    select j.id, j.tenant_id from app.jobs as j
    join tenancy.tenants as t on t.id = j.tenant_id
    where j.error ->> 'code' = 'job_attempts_exhausted' and j.status = 'failed' and t.status = 'active'
      and (own_tenant is null or j.tenant_id = own_tenant)
      and (of_type is null or j.type = of_type)
      and (of_tenant is null or j.tenant_id = of_tenant)
      and (ids is null or j.id = any (ids))
    order by j.finished_at, j.id
    limit most for no key update of j skip locked
  ) as dead;
  if dry_run then
    return query
      select l.job_id, l.tenant_id, l.type, l.attempts, l.code, l.died_at, l.traceparent, l.suspended
      from ledger.dead_letters(ids => chosen) as l;
  else
    return query
      update app.jobs as j set
        status = 'queued', queued_at = clock_timestamp(), started_at = null, finished_at = null, error = null,
        max_attempts = j.attempts + coalesce((select t.max_attempts from tenancy.job_types as t where t.type = j.type), 3)
      from unnest(owners, chosen) as letter (tenant_id, id)
      where j.tenant_id = letter.tenant_id and j.id = letter.id
      returning j.id, j.tenant_id::text, j.type, j.attempts, old.error ->> 'cause', old.finished_at, j.traceparent, false;
  end if;
end
$$;
comment on function ledger.redrive_jobs(text, text, uuid[], integer, boolean) is
  'Queues dead jobs again, as v1.retry_job() would, `most` of them and the oldest first: for operators, and inside a tenant''s walls that '
  'tenant''s alone. Returns what was dead; dry_run: changes nothing. Jobs of suspended tenants stay. Raises tenant_required.';
grant execute on function ledger.redrive_jobs(text, text, uuid[], integer, boolean) to rowhouse_worker, rowhouse_owner;
set role rowhouse_owner;

--@ function admin.dead_letters()
create function admin.dead_letters()
returns table (job_id uuid, tenant_id text, type text, attempts integer, code text, died_at timestamptz, traceparent text, suspended boolean)
language plpgsql
stable
security definer -- operators hold no grant on jobs: only these functions
set search_path = ''
parallel unsafe
as $$
begin
  perform auth.require_operator();
  return query select * from ledger.dead_letters();
end
$$;
comment on function admin.dead_letters() is $$Dead letters

Jobs whose attempts are used up, the oldest first. One that is retried, redriven or deleted is none any more. code: of the last attempt's error; null: it
died without a word. suspended: its tenant is, and it stays until that is resumed.$$;
grant execute on function admin.dead_letters() to operator;

--@ function admin.redrive_jobs(uuid[],text,text,boolean,integer,boolean)
create function admin.redrive_jobs(
  ids uuid[] default null, job_type text default null, tenant text default null, every boolean default false, most integer default 1000,
  dry_run boolean default false)
returns table (job_id uuid, tenant_id text, type text, attempts integer, code text, died_at timestamptz, traceparent text, suspended boolean)
language plpgsql
volatile
security definer -- as admin.dead_letters()
set search_path = ''
parallel unsafe
as $$
declare
  unknown uuid;
begin
  perform auth.require_operator();
  if (num_nonnulls(ids, job_type, tenant) > 0) is not distinct from coalesce(every, false) then
    perform request.raise_error('request_invalid', case when every then 'every is each dead letter there is' else 'nothing says which dead letters' end,
      'give ids, job_type or tenant, or every');
  end if;
  select wanted into unknown from unnest(redrive_jobs.ids) as wanted
  where not exists (select from ledger.dead_letters(ids => redrive_jobs.ids) as l where l.job_id = wanted) limit 1;
  if found then
    perform request.raise_error('job_not_found', format('no dead letter of %s; nothing was redriven', unknown),
      'a job that failed without dying is its tenant''s to retry');
  end if;
  return query select * from ledger.redrive_jobs(redrive_jobs.job_type, redrive_jobs.tenant, redrive_jobs.ids, most, coalesce(dry_run, false));
end
$$;
comment on function admin.redrive_jobs(uuid[], text, text, boolean, integer, boolean) is $$Redrive dead letters

Queues dead jobs again, as their tenants could with retry_job: those that all of ids, job_type and tenant fit, or every one; the oldest first, at most `most`.
Answers with those that were (dry_run: would be) redriven. Jobs of suspended tenants stay.$$;
grant execute on function admin.redrive_jobs(uuid[], text, text, boolean, integer, boolean) to operator;
