-- migrate:up
set local lock_timeout = '3s';
set local search_path = '';

--@ drop function v1.redeliver_webhook(uuid, bigint)
drop function v1.redeliver_webhook(uuid, bigint);

--@ drop function v1.replay_webhook_deliveries(uuid, bigint, bigint, timestamptz, timestamptz, timestamptz, boolean)
drop function v1.replay_webhook_deliveries(uuid, bigint, bigint, timestamptz, timestamptz, timestamptz, boolean);

--@ drop function webhook.dispatch(integer, integer, text[])
drop function webhook.dispatch(integer, integer, text[]);

--@ drop view v1.event_types
drop view v1.event_types;

--@ drop policy "The ledger's functions append" on ledger.entries
-- ACCESS EXCLUSIVE on ledger.entries until commit.
drop policy "The ledger's functions append" on ledger.entries;

--@ table ledger.entries
alter table ledger.entries drop constraint entries_operation_known, drop constraint entries_slot_of_tenant;
--= -- One sequence for all tenants of this server: a tenant's order is its own positions, and a tenant that moves to another
--= -- server takes its positions along.
--= create sequence ledger.positions as bigint cache 1;
--=
--= create function ledger.slot(tenant_id text)
--= returns smallint
--= language sql
--= immutable
--= security invoker
--= parallel safe
--= return (pg_catalog.hashtextextended(tenant_id, 0) & 15)::smallint;
--= comment on function ledger.slot(text) is 'Which of the 16 dispatch slots a tenant''s entries go through.';
--= grant execute on function ledger.slot(text) to rowhouse_dispatcher;
--=
--= create table ledger.entries (
--=   tenant_id tenancy.tenant_id not null,
--=   position bigint not null default nextval('ledger.positions'),
--=   slot smallint not null,
--=   transaction_id xid8 not null default pg_current_xact_id(),
--=   occurred_at timestamptz not null default clock_timestamp(),
--=   table_name text collate "C" not null,
--=   operation text collate "C" not null,
--=   row_id text,
--=   changed text[],
--=   old jsonb,
--=   new jsonb,
--=   subject text,
--=   role text collate "C",
--=   token_id text collate "C",
--=   address inet,
--=   user_agent text,
--=   request_id text,
--=   trace_id text collate "C",
--=   leads boolean not null default true,
--=   constraint entries_pkey primary key (tenant_id, position)
--= ) partition by hash (tenant_id);
--= -- No checks: PostgreSQL reads and prepares those anew in each statement, an eighth of what the ledger costs an insert. The policy below is
--= -- prepared with the plan.
--= -- No index by type, time or row: each costs a bulk insert 10 to 20 %, and who reads events asks for those behind a position. Who searches among
--= -- millions builds one (docs/events.md).
--= comment on table ledger.entries is 'Every change of tenant data: who, what, when, where, before and after. Append-only for everyone.';
--= comment on column ledger.entries.position is 'Order within the tenant: drawn while the changed rows were locked.';
--= -- Not generated: PostgreSQL would prepare the expression anew in each statement, 23 µs, a third of what the ledger costs an insert.
--= comment on column ledger.entries.slot is 'ledger.slot(tenant_id).';
--= comment on column ledger.entries.table_name is 'The table; of what was emitted, the type of the event.';
--= comment on column ledger.entries.row_id is 'The primary key without the tenant; a JSON array where it has several columns. The subject of what was emitted.';
--= comment on column ledger.entries.transaction_id is $$The transaction that wrote it.
--= @sample "3"$$;
--= comment on column ledger.entries.occurred_at is 'When its position was drawn: later ones have later times (ledger.position_at).';
--= comment on column ledger.entries.leads is $$Each statement has at least one for each of its tenants, which says to followers what all of them do.
--= @sample "true"$$;
--= comment on column ledger.entries.address is 'From X-Forwarded-For: what the edge saw, or what a client that went past it claims.';
--= select tenancy.protect('ledger.entries', partitions => 16, ledger => false);
--=
--= -- This index does not lead with the tenant: the dispatcher reads a slot's tenants together, in order.
--= create index entries_dispatch_idx on ledger.entries (slot, position);
--=
--= -- Nor does this one: what transactions have committed since a snapshot, of whichever tenant (ledger.changes_after). One entry says as much
--= -- as all those of its statement and tenant, which would cost a bulk insert an eighth more.
--= create index entries_follow_idx on ledger.entries (transaction_id) where leads;

--@ policy "The ledger's functions append" on ledger.entries
create policy "The ledger's functions append" on ledger.entries
  for insert to rowhouse_owner with check (operation in ('insert', 'update', 'delete', 'emit') and slot = ledger.slot(tenant_id));

-- Append-only for the owner, too, who could otherwise truncate it.
revoke update, delete, truncate on ledger.entries from rowhouse_owner;
grant select on ledger.entries, ledger.positions to rowhouse_dispatcher;
grant update on ledger.positions to rowhouse_dispatcher; -- ledger.recognise_history()

--@ function ledger.record()
create or replace function ledger.record()
returns trigger
language plpgsql
volatile
security definer -- clients may not write the ledger themselves
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_column
declare
  -- Null: what the name means in a table that has no such column. The column itself is cheaper to read than the row as JSON.
  tenant_id tenancy.tenant_id;
  has_sleeper boolean; -- null: no row, nothing to write
  many boolean;
  several boolean;
begin
  -- Before a position is drawn, see ledger.announce(). Written `record.…` beside the table's own columns, which may have any name.
  if tg_op = 'INSERT' then
    -- In one statement, and nearly always for one slot: each expression more costs an insert of one row a hundredth of what the ledger does.
    select case when ledger.announce(ledger.slot(first.tenant_id)) is not null then ledger.has_sleeper() end,
      exists (select from new_rows as r offset 1),
      exists (select from new_rows as r where coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0]) <> first.tenant_id)
    into has_sleeper, many, several
    from (select coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0]) from new_rows as r limit 1) as first (tenant_id);
    if several then
      perform ledger.announce(slot) from (
        select distinct ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0])) from new_rows as r) as slots (slot);
      has_sleeper := ledger.has_sleeper();
    end if;
  else
    if tg_op = 'DELETE' then
      perform ledger.announce(slot) from (
        select distinct ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0])) from old_rows as r) as slots (slot);
    else
      perform ledger.announce(slot) from (
        select ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0])) from old_rows as r union
        select ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0])) from new_rows as r) as slots (slot);
    end if;
    if found then
      has_sleeper := ledger.has_sleeper();
    end if;
  end if;
  if has_sleeper then
    notify ledger_wake;
  elsif has_sleeper is null then
    return null;
  end if;

  -- What is the same for all entries is found out in the statement: PL/pgSQL would prepare an expression of its own anew in each transaction.
  -- `offset 0`: once, not for each entry; and each row becomes JSON once.
  if many then
    -- Of many, one leads; and all those of other tenants, which hardly ever are in one statement.
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, new, leads,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select n.tenant_id, ledger.slot(n.tenant_id), called.source, 'insert', ledger.row_key(n.body, called.key_columns), n.body,
      n.tenant_id <> first.tenant_id or n.body = first.body, origin.*
    from (select format('%I.%I', tg_table_schema, tg_table_name) as source, tg_argv[1]::text[] as key_columns offset 0) as called
    cross join ledger.origin() as origin
    cross join (
      select coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0]), to_jsonb(r.*) from new_rows as r limit 1
    ) as first (tenant_id, body)
    cross join (
      select coalesce(tenant_id, (to_jsonb(r.*) ->> record.tg_argv[0])::tenancy.tenant_id), to_jsonb(r.*) from new_rows as r offset 0
    ) as n (tenant_id, body);
  elsif tg_op = 'INSERT' then
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, new,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select n.tenant_id, ledger.slot(n.tenant_id), format('%I.%I', tg_table_schema, tg_table_name), 'insert',
      ledger.row_key(n.body, n.key_columns), n.body, origin.*
    from ledger.origin() as origin
    cross join (
      select coalesce(tenant_id, (to_jsonb(r.*) ->> record.tg_argv[0])::tenancy.tenant_id), to_jsonb(r.*), record.tg_argv[1]::text[]
      from new_rows as r offset 0
    ) as n (tenant_id, body, key_columns);
  elsif tg_op = 'DELETE' then
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, old,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select o.tenant_id, ledger.slot(o.tenant_id), called.source, 'delete', ledger.row_key(o.body, called.key_columns), o.body, origin.*
    from (select format('%I.%I', tg_table_schema, tg_table_name) as source, tg_argv[1]::text[] as key_columns offset 0) as called
    cross join ledger.origin() as origin
    cross join (
      select coalesce(tenant_id, (to_jsonb(r.*) ->> record.tg_argv[0])::tenancy.tenant_id), to_jsonb(r.*) from old_rows as r offset 0
    ) as o (tenant_id, body);
  else
    -- A row whose key changed has no partner: it is one row deleted and another inserted.
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, changed, old, new,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select changes.tenant_id, ledger.slot(changes.tenant_id), called.source,
      case when before is null then 'insert' when after is null then 'delete' else 'update' end, row_id,
      case when before is not null and after is not null then
        array(select key from jsonb_each(after) where value is distinct from before -> key) end,
      before, after, origin.*
    from (select format('%I.%I', tg_table_schema, tg_table_name) as source offset 0) as called
    cross join ledger.origin() as origin
    cross join (
      (select o.tenant_id, ledger.row_key(o.body, called.key_columns), o.body
       from (select tg_argv[1]::text[] as key_columns offset 0) as called
       cross join (
         select coalesce(tenant_id, (to_jsonb(r.*) ->> record.tg_argv[0])::tenancy.tenant_id), to_jsonb(r.*) from old_rows as r offset 0
       ) as o (tenant_id, body)) as o (tenant_id, row_id, before)
      full join
      (select n.tenant_id, ledger.row_key(n.body, called.key_columns), n.body
       from (select tg_argv[1]::text[] as key_columns offset 0) as called
       cross join (
         select coalesce(tenant_id, (to_jsonb(r.*) ->> record.tg_argv[0])::tenancy.tenant_id), to_jsonb(r.*) from new_rows as r offset 0
       ) as n (tenant_id, body)) as n (tenant_id, row_id, after)
      using (tenant_id, row_id)
    ) as changes;
  end if;
  return null;
end
$$;
comment on function ledger.record() is
  'Statement trigger over transition tables: one insert for each statement, one entry for each row. Arguments: the tenant column, '
  'and the other primary key columns as an array.';

--@ function tenancy.create_tenant(text, text, text, text, text, text)
create or replace function tenancy.create_tenant(
  id text, slug text, name text, owner_subject text, tier text default 'standard', region text default 'default')
returns tenancy.tenants
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  created tenancy.tenants;
  problem text;
begin
  if exists (select from tenancy.retired_ids as retired where retired.id = create_tenant.id) then
    perform request.raise_error('tenant_exists', format('id %s was a tenant''s and is not given again', id), 'choose another id');
  end if;
  insert into tenancy.tenants (id, slug, name, tier, region)
  values (create_tenant.id, create_tenant.slug, create_tenant.name, create_tenant.tier, create_tenant.region)
  on conflict do nothing
  returning * into created;
  if not found then
    perform request.raise_error('tenant_exists', format('id %s or slug %s is taken', id, slug), 'choose another id and slug');
  end if;
  insert into tenancy.members (tenant_id, user_id, role) values (created.id, owner_subject, 'owner');
  return created;
exception
  when check_violation or not_null_violation or foreign_key_violation then
    get stacked diagnostics problem = constraint_name;
    perform request.raise_error('tenant_invalid', format('%s does not hold', coalesce(nullif(problem, ''), 'a required value')),
      'id: t_ and 1 to 47 of a-z 0-9 _; slug: a DNS label; name: 1 to 200 characters; tier: one of the plans; an owner');
end
$$;
comment on function tenancy.create_tenant(text, text, text, text, text, text) is
  'A new tenant with its first owner. Of several at once with the same id or slug one wins. Raises tenant_exists, tenant_invalid.';

--@ function app.is_time_zone(text)
create or replace function app.is_time_zone(zone text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
begin
  -- PostgreSQL takes POSIX rules for zones (`Foo+5`), too, which the library does not: IANA names alone.
  if zone !~ '^(UTC|Etc/GMT(-([0-9]|1[0-4])|\+([0-9]|1[0-2]))|[A-Z][A-Za-z]+(/[A-Z][A-Za-z_-]+){1,2})$' then
    return false;
  -- Its clock changes by half an hour, over which the library finds no way: it looks for a quarter of a second, and gives up.
  elsif lower(zone) in ('australia/lord_howe', 'australia/lhi') then
    return false;
  end if;
  perform pg_catalog.timezone(zone, now());
  return true;
exception when invalid_parameter_value then
  return false;
end
$$;
comment on function app.is_time_zone(text) is 'Whether this is the IANA name of a time zone that this server knows, and the workers can reckon with.';
grant execute on function app.cron_values(text, integer, integer, text[]), app.cron_problem(text), app.is_time_zone(text)
  to tenant_user, rowhouse_worker; -- a worker that notes a failure passes the same trigger

--@ table app.jobs
alter table app.jobs add column start_after timestamptz;
comment on column app.jobs.idempotency_key is 'The same key with the same type, input and start_after answers with the first job; with another body it is a 409.';
comment on column app.jobs.start_after is 'It is not started before this time, which is at most a year ahead; null: as soon as its turn comes.';
select tenancy.expose('app.jobs', '{delete}', '{id,created_by}');
grant insert (type, input, idempotency_key, start_after) on app.jobs to tenant_user;
grant insert (type, input, idempotency_key, start_after) on v1.jobs to tenant_user;
select ledger.add_event_source('app.jobs', 'v1.jobs');
-- Their bodies list the table's columns: as they are in the book, made anew.
create or replace function v1.cancel_job(id uuid)
returns setof v1.jobs
language sql
volatile
security definer -- clients hold no grant to set a job's status: only this move
rows 1
set search_path = ''
parallel unsafe
begin atomic
  select * from app.move_job(cancel_job.id, 'cancelled', '{queued,running}');
end;
comment on function v1.cancel_job(uuid) is $$Cancel a job

A queued job never starts; a running one stops at its next step.$$;
grant execute on function v1.cancel_job(uuid) to tenant_user;
create or replace function v1.retry_job(id uuid)
returns setof v1.jobs
language sql
volatile
security definer -- clients hold no grant to set a job's status: only this move
rows 1
set search_path = ''
parallel unsafe
begin atomic
  select * from app.move_job(retry_job.id, 'queued', '{failed,cancelled}');
end;
comment on function v1.retry_job(uuid) is $$Retry a job

Queues a failed or cancelled job again, for as many attempts as its type allows.$$;
grant execute on function v1.retry_job(uuid) to tenant_user;
--= create table app.jobs (
--=   tenant_id tenancy.tenant_id not null,
--=   id uuid not null default uuidv7(),
--=   type text collate "C" not null,
--=   input jsonb not null default '{}',
--=   idempotency_key text,
--=   status text collate "C" not null default 'queued',
--=   attempts integer not null default 0,
--=   max_attempts integer not null default 3,
--=   progress jsonb not null default '{}',
--=   result jsonb,
--=   error jsonb,
--=   created_by text not null default request.subject(),
--=   created_at timestamptz not null default now(),
--=   updated_at timestamptz not null default now(),
--=   queued_at timestamptz not null default now(),
--=   started_at timestamptz,
--=   finished_at timestamptz,
--=   schedule_id uuid,
--=   due_at timestamptz,
--=   traceparent text collate "C" default request.traceparent(),
--=   start_after timestamptz,
--=   constraint jobs_pkey primary key (tenant_id, id),
--=   constraint jobs_idempotency_key_key unique (tenant_id, idempotency_key),
--=   -- However many workers find a schedule due, and however often: one job.
--=   constraint jobs_one_for_each_due_time unique (tenant_id, schedule_id, due_at),
--=   constraint jobs_due_at_of_a_schedule check (schedule_id is null or due_at is not null),
--=   constraint jobs_idempotency_key_length check (length(idempotency_key) between 1 and 255),
--=   constraint jobs_input_is_an_object check (jsonb_typeof(input) = 'object' and octet_length(input::text) <= 262144),
--=   constraint jobs_progress_bounded check (octet_length(progress::text) <= 8192),
--=   constraint jobs_error_bounded check (octet_length(error::text) <= 16384),
--=   constraint jobs_traceparent_form check (traceparent ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'),
--=   constraint jobs_status_known check (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
--=   constraint jobs_attempts_in_range check (attempts >= 0 and max_attempts > 0),
--=   constraint jobs_finished_when_over check ((status in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null))
--= ) partition by hash (tenant_id);
--= create index jobs_created_at_idx on app.jobs (tenant_id, created_at desc, id desc);
--= -- The dead letters. No column of it changes in a job that ends well, `error` being null throughout: its updates stay heap-only.
--= create index jobs_dead_idx on app.jobs (tenant_id, id) where error ->> 'code' = 'job_attempts_exhausted';
--= comment on table app.jobs is $$Jobs
--=
--= Insert one to submit it: type, input and, if you may repeat the request, an idempotency_key. Its progress, result or error appear in the row.$$;
--= comment on column app.jobs.type is 'One of the registered job types, such as csv.validate.';
--= comment on column app.jobs.input is 'What the type asks for: see its schema in docs/jobs.md.';
--= comment on column app.jobs.idempotency_key is 'The same key with the same type, input and start_after answers with the first job; with another body it is a 409.';
--= comment on column app.jobs.status is 'queued, running, succeeded, failed or cancelled.';
--= comment on column app.jobs.attempts is 'How many times a worker has started it.';
--= -- No foreign key: deleting a schedule would change each of its jobs, half a million for a year of minutes.
--= comment on column app.jobs.schedule_id is 'The schedule that submitted it, which may be gone.';
--= comment on column app.jobs.due_at is 'For which time of its schedule.';
--= comment on column app.jobs.start_after is 'It is not started before this time, which is at most a year ahead; null: as soon as its turn comes.';
--= comment on column app.jobs.traceparent is 'The trace of the request that submitted it (W3C Trace Context), which its ledger entries carry on.';
--= select tenancy.protect('app.jobs', expose => true, client_verbs => '{delete}');
--= grant select on app.jobs to rowhouse_worker, rowhouse_edge;
--= grant insert (type, input, schedule_id, due_at),
--=   update (status, attempts, max_attempts, progress, result, error, queued_at, started_at, finished_at) on app.jobs to rowhouse_worker;
--= -- Clients submit, cancel and retry through v1; the guard below decides what else may change.
--= grant insert (type, input, idempotency_key, start_after) on app.jobs to tenant_user;
--= grant insert (type, input, idempotency_key, start_after) on v1.jobs to tenant_user;

--@ function app.guard_job()
create or replace function app.guard_job()
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

--@ function app.submit_job()
create or replace function app.submit_job()
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

--@ view v1.event_types
create view v1.event_types with (security_invoker = true) as
  with versions as (
    select name, relation is not null as of_table, version, description, schema from ledger.event_sources
    union all
    select p.name, s.relation is not null, p.version, s.description, p.schema
    from ledger.past_event_schemas as p join ledger.event_sources as s on s.name = p.name)
  select v.name || k.suffix as type, v.version,
    case when v.of_table then format(k.says, coalesce(nullif(v.description, ''), v.name)) else v.description end as description,
    jsonb_build_object('$schema', 'https://json-schema.org/draft/2020-12/schema', '$id', 'rowhouse:/v1/event-types/' || v.name || k.suffix || '/' || v.version)
    || case when not v.of_table then v.schema else jsonb_build_object('type', 'object', 'required', '["old", "new", "changed"]'::jsonb,
      'properties', jsonb_build_object(
        'old', case when k.had_old then v.schema else '{"type": "null"}' end,
        'new', case when k.has_new then v.schema else '{"type": "null"}' end,
        'changed', case when k.had_old and k.has_new then '{"type": "array", "items": {"type": "string"}}' else '{"type": "null"}' end::jsonb)) end as schema
  from versions as v
  join (values
    (true, '.inserted', 'A row was added: %s', false, true),
    (true, '.updated', 'A row was changed: %s', true, true),
    (true, '.deleted', 'A row was removed: %s', true, false),
    (false, '', '', false, false)) as k (of_table, suffix, says, had_old, has_new) on k.of_table = v.of_table;
comment on view v1.event_types is $$Types of events

What the data of each type looks like, as JSON Schema, for this version of it and those before. emit_event takes other types, too.$$;
comment on column v1.event_types.version is
  'The last part of the event''s dataschema. It rises when a column is taken away or changes its type, or a declared schema changes in more than words, not '
  'when something is added. An event from before a change of type keeps its version.';
comment on column v1.event_types.schema is
  'JSON Schema (draft 2020-12) of the event''s data. Of a table''s events it is made from the columns; of an emitted type it is what its producers '
  'promise: nothing compares their data with it.';
grant select on v1.event_types to tenant_user;

--@ function webhook.event_position(text, text)
create function webhook.event_position(event text, argument text)
returns bigint
language plpgsql
immutable
strict
security invoker
set search_path = ''
parallel safe
as $$
begin
  if event !~ '^(evt_)?[0-9]{1,19}$' then
    perform request.raise_error('webhook_replay_invalid', format('%s is no event', argument), 'give its position, such as 17, or its id, evt_17');
  end if;
  -- Nineteen digits may be more than there are positions: behind the last one, then.
  return least(ltrim(event, 'evt_')::numeric, 9223372036854775807)::bigint;
end
$$;
comment on function webhook.event_position(text, text) is
  'The position of an event that a client names, 17 or evt_17; null for null. argument: the name of what it was given as. Raises webhook_replay_invalid.';

--@ function webhook.dispatch(integer, integer, text[])
set role rowhouse_dispatcher;
create function webhook.dispatch(max_slots integer, max_entries integer, wide text[] default '{}')
returns table (slot smallint, "position" bigint, entries integer, has_backlogs boolean, tenant_id text, endpoint_id uuid)
language plpgsql
volatile
security definer -- matches every tenant's events with that tenant's endpoints; its caller is told which endpoints got work, no more
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.hand_over()
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  slots smallint[];
  afters bigint[];
  settleds bigint[];
  uptos bigint[];
  listeners text[];
  asides text[];
  newly text[];
begin
  select array_agg(c.slot), array_agg(c.after_position), array_agg(c.settled_position) into slots, afters, settleds
  from ledger.claim('webhooks', max_slots) as c;
  if slots is null then
    return;
  end if;
  -- In this order, with a snapshot for each: whoever wrote an entry that is settled had only endpoints that are seen now.
  listeners := webhook.listeners();
  asides := ledger.rejoin('webhooks', slots, afters);
  if cardinality(listeners) = 0 then
    return query select c.slot, c.settled, null::integer, asides <> '{}', null::text, null::uuid from unnest(slots, settleds) as c (slot, settled);
    return;
  end if;
  newly := '{}';
  if wide <> '{}' then
    newly := array(
      select w.tenant_id
      from unnest(wide) as w (tenant_id)
      join unnest(slots, afters, settleds) as c (slot, after_position, settled_position) on c.slot = ledger.slot(w.tenant_id)
      -- As in ledger.rejoin(): never a join with the whole ledger.
      cross join lateral (
        select from ledger.entries as e
        where e.tenant_id = w.tenant_id and e.position > c.after_position and e.position <= c.settled_position
        order by e.position limit 1) as heard
      where w.tenant_id <> all (asides));
  end if;
  if newly <> '{}' then
    perform ledger.begin_backlogs('webhooks', newly, slots, afters);
    asides := asides || newly;
  end if;
  -- A range that is no wider has no more.
  if exists (select from unnest(afters, settleds) as c (after_position, settled_position) where settled_position - after_position > max_entries) then
    asides := asides || ledger.set_aside('webhooks', slots, afters, settleds, max_entries,
      case when listeners is not null then array(select listener from unnest(listeners) as listener where listener <> all (asides)) end);
  end if;
  if listeners is not null then
    -- None of them has more: the tenants that had are set aside.
    return query
      with ranges as materialized (
        select c.slot, listener as tenant_id, c.after_position, c.settled_position, row_number() over () as nth
        from unnest(slots, afters, settleds) as c (slot, after_position, settled_position)
        join unnest(listeners) as listener on ledger.slot(listener) = c.slot
        where listener <> all (asides)
      ), handed as materialized (
        select h.* from (
          select array_agg(r.tenant_id order by r.nth) as tenants, array_agg(r.after_position order by r.nth) as afters,
            array_agg(r.settled_position order by r.nth) as settleds from ranges as r) as r
        cross join lateral webhook.hand_over(r.tenants, null, r.afters, r.settleds, max_entries, null) as h
        where r.tenants is not null
      )
      select c.slot, c.settled_position, coalesce(sum(h.entries), 0)::integer, asides <> '{}', null::text, null::uuid
      from unnest(slots, settleds) as c (slot, settled_position)
      left join ranges as r using (slot)
      left join handed as h using (nth)
      group by c.slot, c.settled_position
      union all
      select null, null, null, null, h.tenant_id, h.endpoint_id from handed as h where h.endpoint_id is not null;
    return;
  end if;
  -- As far as a round reads, where it passes entries by.
  uptos := array(
    select coalesce(
      case when asides <> '{}' then (
        select e.position from ledger.entries as e
        where e.slot = c.slot and e.position > c.after_position and e.position <= c.settled_position
        order by e.position offset 100 * max_entries - 1 limit 1) end,
      c.settled_position)
    from unnest(slots, afters, settleds) with ordinality as c (slot, after_position, settled_position, nth)
    order by c.nth);
  return query
    with handed as materialized (select h.* from webhook.hand_over(null, slots, afters, uptos, max_entries, asides) as h)
    select c.slot, reached.position, coalesce(h.entries, 0), asides <> '{}', null::text, null::uuid
    from unnest(slots, uptos) with ordinality as c (slot, upto_position, nth)
    left join handed as h using (nth)
    cross join lateral (select case when h.entries = max_entries then h.last_position else c.upto_position end) as reached (position)
    union all
    select null, null, null, null, h.tenant_id, h.endpoint_id from handed as h where h.endpoint_id is not null;
end
$$;
comment on function webhook.dispatch(integer, integer, text[]) is
  'Hands the entries of up to max_slots free slots of the ledger over to the endpoints that want them. wide: tenants to set aside whatever they have '
  '(webhook.wide_listeners()). Returns the slots, for ledger.advance() after the '
  'commit, how many entries of tenants with endpoints were looked at (null: nobody has an endpoint), and whether tenants are set aside '
  '(then webhook.dispatch_backlogs() has theirs); and the endpoints that have new deliveries.';
grant execute on function webhook.dispatch(integer, integer, text[]) to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer)
set role rowhouse_dispatcher;
create or replace function webhook.replay(
  tenant_id text, endpoint_id uuid, from_position bigint, to_position bigint, dry_run boolean default false,
  failed_since timestamptz default null, from_time timestamptz default '-infinity', to_time timestamptz default 'infinity',
  most integer default 100000)
returns bigint
language plpgsql
volatile
security definer -- clients and the owner hold no grant on deliveries; whoever calls says for which tenant, and is the owner's function or the CLI
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_variable
declare
  endpoint webhook.endpoints;
  positions bigint[];
  -- Not asked of each event: the answer reads the policies.
  hidden constant text[] := array(select s.name from ledger.sources as s where s.least_role = 'owner');
  counted bigint;
  reached bigint;
  keys text[];
  lasts bigint[];
  begins timestamptz := clock_timestamp();
  a_second constant float8 := 100;
begin
  select * into endpoint from webhook.endpoints as e where e.tenant_id = replay.tenant_id and e.id = replay.endpoint_id;
  if not found then
    perform request.raise_error('webhook_endpoint_unknown');
  elsif from_position > to_position or from_time > to_time then
    perform request.raise_error('webhook_replay_invalid', 'the range ends before it begins', 'the earlier position or time is from, the later one to');
  end if;
  if failed_since is not null then
    positions := array(
      select d.position from webhook.deliveries as d
      where d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.dead_at >= failed_since
        and d.position between from_position and to_position and d.created_at between from_time and to_time and d.payload is null
      order by d.position limit most + 1);
  else
    -- What was delivered, what was not, and what was never meant for it: events from before the endpoint, or from while it was disabled.
    positions := array(
      select e.position from ledger.events as e
      where e.tenant_id = replay.tenant_id and e.position between from_position and to_position and e.time between from_time and to_time
        and e.type like any (endpoint.type_patterns) and e.source <> all (hidden)
      order by e.position limit most + 1);
  end if;
  if cardinality(positions) > most then
    perform request.raise_error('webhook_replay_invalid', format('these are more than %s events', most), 'replay them in parts');
  end if;
  if dry_run or positions = '{}' then
    return cardinality(positions);
  end if;
  counted := cardinality(positions);

  -- What the dispatcher has not handed over yet, it will. To add a delivery in its place would have it, and with it all tenants, wait for the
  -- end of this transaction.
  for look in 1 .. 25 loop
    reached := ledger.handed_position('webhooks', replay.tenant_id);
    exit when reached >= positions[counted];
    perform pg_sleep(0.01);
  end loop;
  if reached < positions[counted] then
    reached := webhook.await_dispatch(replay.tenant_id);
  end if;
  positions := array(
    select p from unnest(positions) as p
    where p <= reached or exists (
      select from webhook.deliveries as d
      where d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.position = p)
    order by p);

  insert into webhook.attempts (tenant_id, endpoint_id, position, attempt, attempted_at, succeeded, status_code, error, latency_ms, response)
  select d.tenant_id, d.endpoint_id, d.position, d.attempts, d.attempted_at, true, d.status_code, d.error, d.latency_ms, d.response
  from webhook.deliveries as d
  where d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.position = any (positions) and d.status = 'succeeded'
  on conflict do nothing;

  -- One event goes at once. More begin after what waits for its time by an earlier replay, also by one that has not committed yet.
  if counted > 1 then
    -- Bit 63: no key of the ledger's or of a lease has it.
    perform pg_advisory_xact_lock(hashtextextended(concat_ws(' ', 'replay', replay.tenant_id, replay.endpoint_id), 0) | (1::bigint << 63));
    begins := greatest(clock_timestamp(), (
      select max(d.next_attempt_at) + make_interval(secs => 1 / a_second) from webhook.deliveries as d
      where d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.next_attempt_at < 'infinity'
        and d.attempts = d.attempts_before));
  end if;

  -- Of an order only the earliest is due; each that is settled frees the next. So the orders begin one after another, each when those
  -- before it have had the time of all their events. What has its time keeps it, or who replays again and again would put it off for ever.
  with asked as (
    select e.position, e.type, e.subject, k.ordering_key,
      case when k.ordering_key is null then e.position else min(e.position) over (partition by k.ordering_key) end as first,
      case when d.status = 'pending' and d.attempts = d.attempts_before
        and (k.ordering_key is not null or d.next_attempt_at is distinct from 'infinity') then 0 else 1 end as places
    from ledger.events as e
    cross join lateral (select webhook.ordering_key(endpoint.ordering, e.subject)) as k (ordering_key)
    left join webhook.deliveries as d
      on d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.position = e.position
    where e.tenant_id = replay.tenant_id and e.position = any (positions)
  ), replayed as (
    insert into webhook.deliveries as d (tenant_id, endpoint_id, position, event_type, subject, ordering_key, next_attempt_at)
    select replay.tenant_id, replay.endpoint_id, a.position, a.type, a.subject, a.ordering_key,
      case when a.position > a.first then 'infinity'
        else begins + make_interval(secs => (sum(a.places) over (order by a.first, a.position) - a.places) / a_second) end
    from asked as a
    order by a.position
    on conflict on constraint deliveries_pkey do update set
      status = 'pending', dead_at = null, ordering_key = excluded.ordering_key,
      next_attempt_at = least(d.next_attempt_at, excluded.next_attempt_at), attempts_before = d.attempts
    -- What waits for its first attempt will have it without this. Of an order, the others could not be told to wait for it.
    where d.status <> 'pending' or d.next_attempt_at is not null or excluded.ordering_key is not null
    returning d.position, d.ordering_key
  ), lines as (
    select r.ordering_key, max(r.position) as last from replayed as r where r.ordering_key is not null group by r.ordering_key
  )
  select array_agg(l.ordering_key), array_agg(l.last) into keys, lasts from lines as l;
  if keys is not null then
    perform webhook.line_up(replay.tenant_id, replay.endpoint_id, keys, lasts);
  end if;
  perform webhook.half_open(replay.tenant_id, replay.endpoint_id);
  return counted;
end
$$;
comment on function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer) is
  'Delivers events of a range of positions to an endpoint again, or for the first time, 100 a second (of one order one after the other): all '
  'that it asks for, or those that became dead letters since failed_since; `most` at once. Returns how many, with those that the dispatcher is '
  'about to hand over anyway; dry_run: how many it would be. Raises webhook_endpoint_unknown, webhook_replay_invalid.';
grant execute on function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer) to rowhouse_owner;
set role rowhouse_owner;

--@ function v1.test_webhook_endpoint(uuid, text)
create or replace function v1.test_webhook_endpoint(id uuid, type text default 'webhook.test')
returns json
language plpgsql
volatile
security definer -- clients hold no grant to write deliveries
set search_path = ''
parallel unsafe
as $$
declare
  endpoint webhook.endpoints := webhook.require_endpoint(test_webhook_endpoint.id);
  sent_position bigint;
begin
  if type is null or type !~ '^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$' or length(type) > 200 then
    perform request.raise_error('webhook_endpoint_invalid', 'that is no type of event', 'leave it out, or give one such as order.paid');
  end if;
  sent_position := webhook.send_test(endpoint.tenant_id, endpoint.id, type);
  return json_build_object('endpoint_id', endpoint.id, 'position', sent_position, 'event_id', 'test_' || sent_position);
end
$$;
comment on function v1.test_webhook_endpoint(uuid, text) is $$Send a test to a webhook endpoint

For admins and owners. An event with data {"test": true}, tried once, outside of any order. What came of it is in webhook_deliveries.$$;
grant execute on function v1.test_webhook_endpoint(uuid, text) to tenant_user;

--@ function v1.replay_webhook_deliveries(uuid, text, text, timestamptz, timestamptz, timestamptz, boolean)
create function v1.replay_webhook_deliveries(
  id uuid, from_position text default null, to_position text default null, from_time timestamptz default null,
  to_time timestamptz default null, failed_since timestamptz default null, dry_run boolean default false)
returns json
language plpgsql
volatile
security definer -- clients hold no grant to write deliveries
set search_path = ''
parallel unsafe
as $$
declare
  endpoint webhook.endpoints := webhook.require_endpoint(replay_webhook_deliveries.id);
  replayed bigint;
begin
  if num_nonnulls(from_position, to_position, from_time, to_time, failed_since) = 0 then
    perform request.raise_error('webhook_replay_invalid', 'nothing says which events', 'give positions, times, or failed_since');
  end if;
  replayed := webhook.replay(endpoint.tenant_id, endpoint.id, coalesce(webhook.event_position(from_position, 'from_position'), 0),
    coalesce(webhook.event_position(to_position, 'to_position'), 9223372036854775807), dry_run,
    failed_since, coalesce(from_time, '-infinity'), coalesce(to_time, 'infinity'));
  return json_build_object('endpoint_id', endpoint.id, 'events', replayed, 'dry_run', dry_run);
end
$$;
comment on function v1.replay_webhook_deliveries(uuid, text, text, timestamptz, timestamptz, timestamptz, boolean) is
$$Replay deliveries

For admins and owners. Events of a range of positions (17, or the id, evt_17) or times that the endpoint asks for are sent again, 100 a second, or of one
order one after the other, also those from before it was made or from while it was disabled; with failed_since, only the dead ones since then. They keep
their webhook-id. dry_run: how many it would be.$$;
grant execute on function v1.replay_webhook_deliveries(uuid, text, text, timestamptz, timestamptz, timestamptz, boolean) to tenant_user;

--@ function v1.redeliver_webhook(uuid, text)
create function v1.redeliver_webhook(id uuid, "position" text)
returns json
language plpgsql
volatile
security definer -- clients hold no grant to write deliveries
set search_path = ''
parallel unsafe
as $$
declare
  endpoint webhook.endpoints := webhook.require_endpoint(redeliver_webhook.id);
  of_event bigint := webhook.event_position(position, 'position');
begin
  if webhook.replay(endpoint.tenant_id, endpoint.id, of_event, of_event) = 0 then
    perform request.raise_error('webhook_delivery_unknown', 'the endpoint asks for no event at this position');
  end if;
  return json_build_object('endpoint_id', endpoint.id, 'position', of_event, 'event_id', 'evt_' || of_event);
end
$$;
comment on function v1.redeliver_webhook(uuid, text) is $$Deliver one event again

For admins and owners. At once, with the same webhook-id, whatever became of it before; its schedule of attempts begins anew. position: 17, or the id of
the event, evt_17.$$;
grant execute on function v1.redeliver_webhook(uuid, text) to tenant_user;

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ drop function v1.redeliver_webhook(uuid, text)
drop function v1.redeliver_webhook(uuid, text);

--@ drop function v1.replay_webhook_deliveries(uuid, text, text, timestamptz, timestamptz, timestamptz, boolean)
drop function v1.replay_webhook_deliveries(uuid, text, text, timestamptz, timestamptz, timestamptz, boolean);

--@ drop function webhook.dispatch(integer, integer, text[])
drop function webhook.dispatch(integer, integer, text[]);

--@ drop function webhook.event_position(text, text)
drop function webhook.event_position(text, text);

--@ drop view v1.event_types
drop view v1.event_types;

--@ drop policy "The ledger's functions append" on ledger.entries
-- ACCESS EXCLUSIVE on ledger.entries until commit.
drop policy "The ledger's functions append" on ledger.entries;

--@ table ledger.entries
-- squawk-ignore constraint-missing-not-valid
alter table ledger.entries add constraint entries_operation_known check (operation in ('insert', 'update', 'delete', 'emit'));
-- squawk-ignore constraint-missing-not-valid
alter table ledger.entries add constraint entries_slot_of_tenant check (slot = (hashtextextended(tenant_id, 0) & 15));
--= -- One sequence for all tenants of this server: a tenant's order is its own positions, and a tenant that moves to another
--= -- server takes its positions along.
--= create sequence ledger.positions as bigint cache 1;
--=
--= create function ledger.slot(tenant_id text)
--= returns smallint
--= language sql
--= immutable
--= security invoker
--= parallel safe
--= return (pg_catalog.hashtextextended(tenant_id, 0) & 15)::smallint;
--= comment on function ledger.slot(text) is 'Which of the 16 dispatch slots a tenant''s entries go through.';
--= grant execute on function ledger.slot(text) to rowhouse_dispatcher;
--=
--= create table ledger.entries (
--=   tenant_id tenancy.tenant_id not null,
--=   position bigint not null default nextval('ledger.positions'),
--=   slot smallint not null,
--=   transaction_id xid8 not null default pg_current_xact_id(),
--=   occurred_at timestamptz not null default clock_timestamp(),
--=   table_name text collate "C" not null,
--=   operation text collate "C" not null,
--=   row_id text,
--=   changed text[],
--=   old jsonb,
--=   new jsonb,
--=   subject text,
--=   role text collate "C",
--=   token_id text collate "C",
--=   address inet,
--=   user_agent text,
--=   request_id text,
--=   trace_id text collate "C",
--=   leads boolean not null default true,
--=   constraint entries_pkey primary key (tenant_id, position),
--=   constraint entries_operation_known check (operation in ('insert', 'update', 'delete', 'emit')),
--=   -- ledger.slot(), written out: a function would be prepared anew in each statement, 11 µs, this takes 3.
--=   constraint entries_slot_of_tenant check (slot = (hashtextextended(tenant_id, 0) & 15))
--= ) partition by hash (tenant_id);
--= -- No index by type, time or row: each costs a bulk insert 10 to 20 %, and who reads events asks for those behind a position. Who searches among
--= -- millions builds one (docs/events.md).
--= comment on table ledger.entries is 'Every change of tenant data: who, what, when, where, before and after. Append-only for everyone.';
--= comment on column ledger.entries.position is 'Order within the tenant: drawn while the changed rows were locked.';
--= -- Not generated: PostgreSQL would prepare the expression anew in each statement, 23 µs, a third of what the ledger costs an insert.
--= comment on column ledger.entries.slot is 'ledger.slot(tenant_id).';
--= comment on column ledger.entries.table_name is 'The table; of what was emitted, the type of the event.';
--= comment on column ledger.entries.row_id is 'The primary key without the tenant; a JSON array where it has several columns. The subject of what was emitted.';
--= comment on column ledger.entries.transaction_id is $$The transaction that wrote it.
--= @sample "3"$$;
--= comment on column ledger.entries.occurred_at is 'When its position was drawn: later ones have later times (ledger.position_at).';
--= comment on column ledger.entries.leads is $$Each statement has at least one for each of its tenants, which says to followers what all of them do.
--= @sample "true"$$;
--= comment on column ledger.entries.address is 'From X-Forwarded-For: what the edge saw, or what a client that went past it claims.';
--= select tenancy.protect('ledger.entries', partitions => 16, ledger => false);
--=
--= -- This index does not lead with the tenant: the dispatcher reads a slot's tenants together, in order.
--= create index entries_dispatch_idx on ledger.entries (slot, position);
--=
--= -- Nor does this one: what transactions have committed since a snapshot, of whichever tenant (ledger.changes_after). One entry says as much
--= -- as all those of its statement and tenant, which would cost a bulk insert an eighth more.
--= create index entries_follow_idx on ledger.entries (transaction_id) where leads;

--@ policy "The ledger's functions append" on ledger.entries
create policy "The ledger's functions append" on ledger.entries
  for insert to rowhouse_owner with check (true);

-- Append-only for the owner, too, who could otherwise truncate it.
revoke update, delete, truncate on ledger.entries from rowhouse_owner;
grant select on ledger.entries, ledger.positions to rowhouse_dispatcher;
grant update on ledger.positions to rowhouse_dispatcher; -- ledger.recognise_history()

--@ function ledger.record()
create or replace function ledger.record()
returns trigger
language plpgsql
volatile
security definer -- clients may not write the ledger themselves
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_column
declare
  -- Null: what the name means in a table that has no such column. The column itself is cheaper to read than the row as JSON.
  tenant_id tenancy.tenant_id;
  announced boolean;
  many boolean;
  several boolean;
begin
  -- Before a position is drawn, see ledger.announce(). Written `record.…` beside the table's own columns, which may have any name.
  if tg_op = 'INSERT' then
    -- Nearly always there is one slot, and nothing to sort. Without a row none is announced.
    select ledger.announce(slots.lowest) is not null, slots.entries > 1, slots.lowest < slots.highest into announced, many, several from (
      select min(slot), max(slot), count(*)
      from (select ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0])) from new_rows as r) as r (slot)
    ) as slots (lowest, highest, entries);
    if several then
      perform ledger.announce(slot) from (
        select distinct ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0])) from new_rows as r) as slots (slot);
    end if;
  elsif tg_op = 'DELETE' then
    perform ledger.announce(slot) from (
      select distinct ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0])) from old_rows as r) as slots (slot);
  else
    perform ledger.announce(slot) from (
      select ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0])) from old_rows as r union
      select ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0])) from new_rows as r) as slots (slot);
  end if;
  if not coalesce(announced, found) then
    return null;
  elsif ledger.has_sleeper() then
    notify ledger_wake;
  end if;

  -- What is the same for all entries is found out in the statement: PL/pgSQL would prepare an expression of its own anew in each transaction.
  -- `offset 0`: once, not for each entry; and each row becomes JSON once.
  if many then
    -- Of many, one leads; and all those of other tenants, which hardly ever are in one statement.
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, new, leads,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select n.tenant_id, ledger.slot(n.tenant_id), called.source, 'insert', ledger.row_key(n.body, called.key_columns), n.body,
      n.tenant_id <> first.tenant_id or n.body = first.body, origin.*
    from (select format('%I.%I', tg_table_schema, tg_table_name) as source, tg_argv[1]::text[] as key_columns offset 0) as called
    cross join ledger.origin() as origin
    cross join (
      select coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0]), to_jsonb(r.*) from new_rows as r limit 1
    ) as first (tenant_id, body)
    cross join (
      select coalesce(tenant_id, (to_jsonb(r.*) ->> record.tg_argv[0])::tenancy.tenant_id), to_jsonb(r.*) from new_rows as r offset 0
    ) as n (tenant_id, body);
  elsif tg_op = 'INSERT' then
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, new,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select n.tenant_id, ledger.slot(n.tenant_id), called.source, 'insert', ledger.row_key(n.body, called.key_columns), n.body, origin.*
    from (select format('%I.%I', tg_table_schema, tg_table_name) as source, tg_argv[1]::text[] as key_columns offset 0) as called
    cross join ledger.origin() as origin
    cross join (
      select coalesce(tenant_id, (to_jsonb(r.*) ->> record.tg_argv[0])::tenancy.tenant_id), to_jsonb(r.*) from new_rows as r offset 0
    ) as n (tenant_id, body);
  elsif tg_op = 'DELETE' then
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, old,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select o.tenant_id, ledger.slot(o.tenant_id), called.source, 'delete', ledger.row_key(o.body, called.key_columns), o.body, origin.*
    from (select format('%I.%I', tg_table_schema, tg_table_name) as source, tg_argv[1]::text[] as key_columns offset 0) as called
    cross join ledger.origin() as origin
    cross join (
      select coalesce(tenant_id, (to_jsonb(r.*) ->> record.tg_argv[0])::tenancy.tenant_id), to_jsonb(r.*) from old_rows as r offset 0
    ) as o (tenant_id, body);
  else
    -- A row whose key changed has no partner: it is one row deleted and another inserted.
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, changed, old, new,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select changes.tenant_id, ledger.slot(changes.tenant_id), called.source,
      case when before is null then 'insert' when after is null then 'delete' else 'update' end, row_id,
      case when before is not null and after is not null then
        array(select key from jsonb_each(after) where value is distinct from before -> key) end,
      before, after, origin.*
    from (select format('%I.%I', tg_table_schema, tg_table_name) as source offset 0) as called
    cross join ledger.origin() as origin
    cross join (
      (select o.tenant_id, ledger.row_key(o.body, called.key_columns), o.body
       from (select tg_argv[1]::text[] as key_columns offset 0) as called
       cross join (
         select coalesce(tenant_id, (to_jsonb(r.*) ->> record.tg_argv[0])::tenancy.tenant_id), to_jsonb(r.*) from old_rows as r offset 0
       ) as o (tenant_id, body)) as o (tenant_id, row_id, before)
      full join
      (select n.tenant_id, ledger.row_key(n.body, called.key_columns), n.body
       from (select tg_argv[1]::text[] as key_columns offset 0) as called
       cross join (
         select coalesce(tenant_id, (to_jsonb(r.*) ->> record.tg_argv[0])::tenancy.tenant_id), to_jsonb(r.*) from new_rows as r offset 0
       ) as n (tenant_id, body)) as n (tenant_id, row_id, after)
      using (tenant_id, row_id)
    ) as changes;
  end if;
  return null;
end
$$;
comment on function ledger.record() is
  'Statement trigger over transition tables: one insert for each statement, one entry for each row. Arguments: the tenant column, '
  'and the other primary key columns as an array.';

--@ function tenancy.create_tenant(text, text, text, text, text, text)
create or replace function tenancy.create_tenant(
  id text, slug text, name text, owner_subject text, tier text default 'standard', region text default 'default')
returns tenancy.tenants
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  created tenancy.tenants;
  problem text;
begin
  if exists (select from tenancy.retired_ids as retired where retired.id = create_tenant.id) then
    perform request.raise_error('tenant_exists', format('id %s was a tenant''s and is not given again', id), 'choose another id');
  end if;
  insert into tenancy.tenants (id, slug, name, tier, region)
  values (create_tenant.id, create_tenant.slug, create_tenant.name, create_tenant.tier, create_tenant.region)
  on conflict do nothing
  returning * into created;
  if not found then
    perform request.raise_error('tenant_exists', format('id %s or slug %s is taken', id, slug), 'choose another id and slug');
  end if;
  insert into tenancy.members (tenant_id, user_id, role) values (created.id, owner_subject, 'owner');
  return created;
exception
  when check_violation or not_null_violation or foreign_key_violation then
    get stacked diagnostics problem = constraint_name;
    perform request.raise_error('tenant_invalid', format('%s does not hold', coalesce(nullif(problem, ''), 'a required value')),
      'id: t_ and 1 to 47 of a-z 0-9 _; slug: a DNS label; name: 1 to 200 characters; tier: one of tenancy.plans; an owner');
end
$$;
comment on function tenancy.create_tenant(text, text, text, text, text, text) is
  'A new tenant with its first owner. Of several at once with the same id or slug one wins. Raises tenant_exists, tenant_invalid.';

--@ function app.is_time_zone(text)
create or replace function app.is_time_zone(zone text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
begin
  -- PostgreSQL takes POSIX rules for zones (`Foo+5`), too, which the library does not: IANA names alone.
  if zone !~ '^(UTC|Etc/GMT(-([0-9]|1[0-4])|\+([0-9]|1[0-2]))|[A-Z][A-Za-z]+(/[A-Z][A-Za-z_-]+){1,2})$' then
    return false;
  end if;
  perform pg_catalog.timezone(zone, now());
  return true;
exception when invalid_parameter_value then
  return false;
end
$$;
comment on function app.is_time_zone(text) is 'Whether this is the IANA name of a time zone that this server knows.';
grant execute on function app.cron_values(text, integer, integer, text[]), app.cron_problem(text), app.is_time_zone(text)
  to tenant_user, rowhouse_worker; -- a worker that notes a failure passes the same trigger

--@ table app.jobs
-- Jobs that are not to start yet start at once.
drop view v1.jobs cascade;
-- squawk-ignore ban-drop-column
alter table app.jobs drop column start_after;
comment on column app.jobs.idempotency_key is 'The same key with the same type and input answers with the first job; with another body it is a 409.';
select tenancy.expose('app.jobs', '{delete}', '{id,created_by}');
grant insert (type, input, idempotency_key) on app.jobs to tenant_user;
grant insert (type, input, idempotency_key) on v1.jobs to tenant_user;
create trigger submit_job instead of insert on v1.jobs for each row execute function app.submit_job();
select ledger.add_event_source('app.jobs', 'v1.jobs');
-- Their bodies list the table's columns: as they are in the book, made anew.
create or replace function v1.cancel_job(id uuid)
returns setof v1.jobs
language sql
volatile
security definer -- clients hold no grant to set a job's status: only this move
rows 1
set search_path = ''
parallel unsafe
begin atomic
  select * from app.move_job(cancel_job.id, 'cancelled', '{queued,running}');
end;
comment on function v1.cancel_job(uuid) is $$Cancel a job

A queued job never starts; a running one stops at its next step.$$;
grant execute on function v1.cancel_job(uuid) to tenant_user;
create or replace function v1.retry_job(id uuid)
returns setof v1.jobs
language sql
volatile
security definer -- clients hold no grant to set a job's status: only this move
rows 1
set search_path = ''
parallel unsafe
begin atomic
  select * from app.move_job(retry_job.id, 'queued', '{failed,cancelled}');
end;
comment on function v1.retry_job(uuid) is $$Retry a job

Queues a failed or cancelled job again, for as many attempts as its type allows.$$;
grant execute on function v1.retry_job(uuid) to tenant_user;
--= create table app.jobs (
--=   tenant_id tenancy.tenant_id not null,
--=   id uuid not null default uuidv7(),
--=   type text collate "C" not null,
--=   input jsonb not null default '{}',
--=   idempotency_key text,
--=   status text collate "C" not null default 'queued',
--=   attempts integer not null default 0,
--=   max_attempts integer not null default 3,
--=   progress jsonb not null default '{}',
--=   result jsonb,
--=   error jsonb,
--=   created_by text not null default request.subject(),
--=   created_at timestamptz not null default now(),
--=   updated_at timestamptz not null default now(),
--=   queued_at timestamptz not null default now(),
--=   started_at timestamptz,
--=   finished_at timestamptz,
--=   schedule_id uuid,
--=   due_at timestamptz,
--=   traceparent text collate "C" default request.traceparent(),
--=   constraint jobs_pkey primary key (tenant_id, id),
--=   constraint jobs_idempotency_key_key unique (tenant_id, idempotency_key),
--=   -- However many workers find a schedule due, and however often: one job.
--=   constraint jobs_one_for_each_due_time unique (tenant_id, schedule_id, due_at),
--=   constraint jobs_due_at_of_a_schedule check (schedule_id is null or due_at is not null),
--=   constraint jobs_idempotency_key_length check (length(idempotency_key) between 1 and 255),
--=   constraint jobs_input_is_an_object check (jsonb_typeof(input) = 'object' and octet_length(input::text) <= 262144),
--=   constraint jobs_progress_bounded check (octet_length(progress::text) <= 8192),
--=   constraint jobs_error_bounded check (octet_length(error::text) <= 16384),
--=   constraint jobs_traceparent_form check (traceparent ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'),
--=   constraint jobs_status_known check (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
--=   constraint jobs_attempts_in_range check (attempts >= 0 and max_attempts > 0),
--=   constraint jobs_finished_when_over check ((status in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null))
--= ) partition by hash (tenant_id);
--= create index jobs_created_at_idx on app.jobs (tenant_id, created_at desc, id desc);
--= -- The dead letters. No column of it changes in a job that ends well, `error` being null throughout: its updates stay heap-only.
--= create index jobs_dead_idx on app.jobs (tenant_id, id) where error ->> 'code' = 'job_attempts_exhausted';
--= comment on table app.jobs is $$Jobs
--=
--= Insert one to submit it: type, input and, if you may repeat the request, an idempotency_key. Its progress, result or error appear in the row.$$;
--= comment on column app.jobs.type is 'One of the registered job types, such as csv.validate.';
--= comment on column app.jobs.input is 'What the type asks for: see its schema in docs/jobs.md.';
--= comment on column app.jobs.idempotency_key is 'The same key with the same type and input answers with the first job; with another body it is a 409.';
--= comment on column app.jobs.status is 'queued, running, succeeded, failed or cancelled.';
--= comment on column app.jobs.attempts is 'How many times a worker has started it.';
--= -- No foreign key: deleting a schedule would change each of its jobs, half a million for a year of minutes.
--= comment on column app.jobs.schedule_id is 'The schedule that submitted it, which may be gone.';
--= comment on column app.jobs.due_at is 'For which time of its schedule.';
--= comment on column app.jobs.traceparent is 'The trace of the request that submitted it (W3C Trace Context), which its ledger entries carry on.';
--= select tenancy.protect('app.jobs', expose => true, client_verbs => '{delete}');
--= grant select on app.jobs to rowhouse_worker, rowhouse_edge;
--= grant insert (type, input, schedule_id, due_at),
--=   update (status, attempts, max_attempts, progress, result, error, queued_at, started_at, finished_at) on app.jobs to rowhouse_worker;
--= -- Clients submit, cancel and retry through v1; the guard below decides what else may change.
--= grant insert (type, input, idempotency_key) on app.jobs to tenant_user;
--= grant insert (type, input, idempotency_key) on v1.jobs to tenant_user;

--@ function app.guard_job()
create or replace function app.guard_job()
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
  'Raises job_type_unknown, job_transition, job_result_too_large.';

--@ function app.submit_job()
create or replace function app.submit_job()
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
  insert into app.jobs (type, input, idempotency_key)
  values (new.type, coalesce(new.input, '{}'), new.idempotency_key)
  on conflict on constraint jobs_idempotency_key_key do nothing
  returning * into job;
  if not found then
    select * into strict job from app.jobs where tenant_id = request.tenant_id() and idempotency_key = new.idempotency_key;
    if (job.type, job.input) is distinct from (new.type, coalesce(new.input, '{}')) then
      perform request.raise_error('idempotency_conflict', 'the first job with this key has another type or input', 'use another key');
    end if;
  end if;
  new := jsonb_populate_record(new, to_jsonb(job));
  return new;
end
$$;
comment on function app.submit_job() is
  'A repeated idempotency key answers with the first job. Raises idempotency_conflict, job_type_unknown.';

--@ view v1.event_types
create view v1.event_types with (security_invoker = true) as
  with versions as (
    select name, relation is not null as of_table, version, description, schema from ledger.event_sources
    union all
    select p.name, s.relation is not null, p.version, s.description, p.schema
    from ledger.past_event_schemas as p join ledger.event_sources as s on s.name = p.name)
  select v.name || k.suffix as type, v.version,
    case when v.of_table then format(k.says, v.description) else v.description end as description,
    jsonb_build_object('$schema', 'https://json-schema.org/draft/2020-12/schema', '$id', 'rowhouse:/v1/event-types/' || v.name || k.suffix || '/' || v.version)
    || case when not v.of_table then v.schema else jsonb_build_object('type', 'object', 'required', '["old", "new", "changed"]'::jsonb,
      'properties', jsonb_build_object(
        'old', case when k.had_old then v.schema else '{"type": "null"}' end,
        'new', case when k.has_new then v.schema else '{"type": "null"}' end,
        'changed', case when k.had_old and k.has_new then '{"type": "array", "items": {"type": "string"}}' else '{"type": "null"}' end::jsonb)) end as schema
  from versions as v
  join (values
    (true, '.inserted', 'A row was added: %s', false, true),
    (true, '.updated', 'A row was changed: %s', true, true),
    (true, '.deleted', 'A row was removed: %s', true, false),
    (false, '', '', false, false)) as k (of_table, suffix, says, had_old, has_new) on k.of_table = v.of_table;
comment on view v1.event_types is $$Types of events

What the data of each type looks like, as JSON Schema, for this version of it and those before. emit_event takes other types, too.$$;
comment on column v1.event_types.version is
  'The last part of the event''s dataschema. It rises when a column is taken away or changes its type, or a declared schema changes in more than words, not '
  'when something is added. An event from before a change of type keeps its version.';
comment on column v1.event_types.schema is
  'JSON Schema (draft 2020-12) of the event''s data. Of a table''s events it is made from the columns; of an emitted type it is what its producers '
  'promise: nothing compares their data with it.';
grant select on v1.event_types to tenant_user;

--@ function webhook.dispatch(integer, integer, text[])
set role rowhouse_dispatcher;
create function webhook.dispatch(max_slots integer, max_entries integer, wide text[] default '{}')
returns table (slot smallint, "position" bigint, entries integer, more boolean, has_backlogs boolean, tenant_id text, endpoint_id uuid)
language plpgsql
volatile
security definer -- matches every tenant's events with that tenant's endpoints; its caller is told which endpoints got work, no more
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.hand_over()
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  slots smallint[];
  afters bigint[];
  settleds bigint[];
  uptos bigint[];
  listeners text[];
  asides text[];
  newly text[];
begin
  select array_agg(c.slot), array_agg(c.after_position), array_agg(c.settled_position) into slots, afters, settleds
  from ledger.claim('webhooks', max_slots) as c;
  if slots is null then
    return;
  end if;
  -- In this order, with a snapshot for each: whoever wrote an entry that is settled had only endpoints that are seen now.
  listeners := webhook.listeners();
  asides := ledger.rejoin('webhooks', slots, afters);
  if cardinality(listeners) = 0 then
    return query select c.slot, c.settled, null::integer, false, asides <> '{}', null::text, null::uuid from unnest(slots, settleds) as c (slot, settled);
    return;
  end if;
  newly := '{}';
  if wide <> '{}' then
    newly := array(
      select w.tenant_id
      from unnest(wide) as w (tenant_id)
      join unnest(slots, afters, settleds) as c (slot, after_position, settled_position) on c.slot = ledger.slot(w.tenant_id)
      -- As in ledger.rejoin(): never a join with the whole ledger.
      cross join lateral (
        select from ledger.entries as e
        where e.tenant_id = w.tenant_id and e.position > c.after_position and e.position <= c.settled_position
        order by e.position limit 1) as heard
      where w.tenant_id <> all (asides));
  end if;
  if newly <> '{}' then
    perform ledger.begin_backlogs('webhooks', newly, slots, afters);
    asides := asides || newly;
  end if;
  -- A range that is no wider has no more.
  if exists (select from unnest(afters, settleds) as c (after_position, settled_position) where settled_position - after_position > max_entries) then
    asides := asides || ledger.set_aside('webhooks', slots, afters, settleds, max_entries,
      case when listeners is not null then array(select listener from unnest(listeners) as listener where listener <> all (asides)) end);
  end if;
  if listeners is not null then
    -- None of them has more: the tenants that had are set aside.
    return query
      with ranges as materialized (
        select c.slot, listener as tenant_id, c.after_position, c.settled_position, row_number() over () as nth
        from unnest(slots, afters, settleds) as c (slot, after_position, settled_position)
        join unnest(listeners) as listener on ledger.slot(listener) = c.slot
        where listener <> all (asides)
      ), handed as materialized (
        select h.* from (
          select array_agg(r.tenant_id order by r.nth) as tenants, array_agg(r.after_position order by r.nth) as afters,
            array_agg(r.settled_position order by r.nth) as settleds from ranges as r) as r
        cross join lateral webhook.hand_over(r.tenants, null, r.afters, r.settleds, max_entries, null) as h
        where r.tenants is not null
      )
      select c.slot, c.settled_position, coalesce(sum(h.entries), 0)::integer, false, asides <> '{}', null::text, null::uuid
      from unnest(slots, settleds) as c (slot, settled_position)
      left join ranges as r using (slot)
      left join handed as h using (nth)
      group by c.slot, c.settled_position
      union all
      select null, null, null, null, null, h.tenant_id, h.endpoint_id from handed as h where h.endpoint_id is not null;
    return;
  end if;
  -- As far as a round reads, where it passes entries by.
  uptos := array(
    select coalesce(
      case when asides <> '{}' then (
        select e.position from ledger.entries as e
        where e.slot = c.slot and e.position > c.after_position and e.position <= c.settled_position
        order by e.position offset 100 * max_entries - 1 limit 1) end,
      c.settled_position)
    from unnest(slots, afters, settleds) with ordinality as c (slot, after_position, settled_position, nth)
    order by c.nth);
  return query
    with handed as materialized (select h.* from webhook.hand_over(null, slots, afters, uptos, max_entries, asides) as h)
    select c.slot, reached.position, coalesce(h.entries, 0), reached.position < c.settled_position, asides <> '{}', null::text, null::uuid
    from unnest(slots, uptos, settleds) with ordinality as c (slot, upto_position, settled_position, nth)
    left join handed as h using (nth)
    cross join lateral (select case when h.entries = max_entries then h.last_position else c.upto_position end) as reached (position)
    union all
    select null, null, null, null, null, h.tenant_id, h.endpoint_id from handed as h where h.endpoint_id is not null;
end
$$;
comment on function webhook.dispatch(integer, integer, text[]) is
  'Hands the entries of up to max_slots free slots of the ledger over to the endpoints that want them. wide: tenants to set aside whatever they have '
  '(webhook.wide_listeners()). Returns the slots, for ledger.advance() after the '
  'commit, how many entries of tenants with endpoints were looked at (null: nobody has an endpoint), whether there are more, and whether tenants are set aside '
  '(then webhook.dispatch_backlogs() has theirs); and the endpoints that have new deliveries.';
grant execute on function webhook.dispatch(integer, integer, text[]) to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer)
set role rowhouse_dispatcher;
create or replace function webhook.replay(
  tenant_id text, endpoint_id uuid, from_position bigint, to_position bigint, dry_run boolean default false,
  failed_since timestamptz default null, from_time timestamptz default '-infinity', to_time timestamptz default 'infinity',
  most integer default 100000)
returns bigint
language plpgsql
volatile
security definer -- clients and the owner hold no grant on deliveries; whoever calls says for which tenant, and is the owner's function or the CLI
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_variable
declare
  endpoint webhook.endpoints;
  positions bigint[];
  -- Not asked of each event: the answer reads the policies.
  hidden constant text[] := array(select s.name from ledger.sources as s where s.least_role = 'owner');
  counted bigint;
  reached bigint;
  keys text[];
  lasts bigint[];
  begins timestamptz := clock_timestamp();
  a_second constant float8 := 100;
begin
  select * into endpoint from webhook.endpoints as e where e.tenant_id = replay.tenant_id and e.id = replay.endpoint_id;
  if not found then
    perform request.raise_error('webhook_endpoint_unknown');
  end if;
  if failed_since is not null then
    positions := array(
      select d.position from webhook.deliveries as d
      where d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.dead_at >= failed_since
        and d.position between from_position and to_position and d.created_at between from_time and to_time and d.payload is null
      order by d.position limit most + 1);
  else
    -- What was delivered, what was not, and what was never meant for it: events from before the endpoint, or from while it was disabled.
    positions := array(
      select e.position from ledger.events as e
      where e.tenant_id = replay.tenant_id and e.position between from_position and to_position and e.time between from_time and to_time
        and e.type like any (endpoint.type_patterns) and e.source <> all (hidden)
      order by e.position limit most + 1);
  end if;
  if cardinality(positions) > most then
    perform request.raise_error('webhook_replay_invalid', format('these are more than %s events', most), 'replay them in parts');
  end if;
  if dry_run or positions = '{}' then
    return cardinality(positions);
  end if;
  counted := cardinality(positions);

  -- What the dispatcher has not handed over yet, it will. To add a delivery in its place would have it, and with it all tenants, wait for the
  -- end of this transaction.
  for look in 1 .. 25 loop
    reached := ledger.handed_position('webhooks', replay.tenant_id);
    exit when reached >= positions[counted];
    perform pg_sleep(0.01);
  end loop;
  if reached < positions[counted] then
    reached := webhook.await_dispatch(replay.tenant_id);
  end if;
  positions := array(
    select p from unnest(positions) as p
    where p <= reached or exists (
      select from webhook.deliveries as d
      where d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.position = p)
    order by p);

  insert into webhook.attempts (tenant_id, endpoint_id, position, attempt, attempted_at, succeeded, status_code, error, latency_ms, response)
  select d.tenant_id, d.endpoint_id, d.position, d.attempts, d.attempted_at, true, d.status_code, d.error, d.latency_ms, d.response
  from webhook.deliveries as d
  where d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.position = any (positions) and d.status = 'succeeded'
  on conflict do nothing;

  -- One event goes at once. More begin after what waits for its time by an earlier replay, also by one that has not committed yet.
  if counted > 1 then
    -- Bit 63: no key of the ledger's or of a lease has it.
    perform pg_advisory_xact_lock(hashtextextended(concat_ws(' ', 'replay', replay.tenant_id, replay.endpoint_id), 0) | (1::bigint << 63));
    begins := greatest(clock_timestamp(), (
      select max(d.next_attempt_at) + make_interval(secs => 1 / a_second) from webhook.deliveries as d
      where d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.next_attempt_at < 'infinity'
        and d.attempts = d.attempts_before));
  end if;

  -- Of an order only the earliest is due; each that is settled frees the next. So the orders begin one after another, each when those
  -- before it have had the time of all their events. What has its time keeps it, or who replays again and again would put it off for ever.
  with asked as (
    select e.position, e.type, e.subject, k.ordering_key,
      case when k.ordering_key is null then e.position else min(e.position) over (partition by k.ordering_key) end as first,
      case when d.status = 'pending' and d.attempts = d.attempts_before
        and (k.ordering_key is not null or d.next_attempt_at is distinct from 'infinity') then 0 else 1 end as places
    from ledger.events as e
    cross join lateral (select webhook.ordering_key(endpoint.ordering, e.subject)) as k (ordering_key)
    left join webhook.deliveries as d
      on d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.position = e.position
    where e.tenant_id = replay.tenant_id and e.position = any (positions)
  ), replayed as (
    insert into webhook.deliveries as d (tenant_id, endpoint_id, position, event_type, subject, ordering_key, next_attempt_at)
    select replay.tenant_id, replay.endpoint_id, a.position, a.type, a.subject, a.ordering_key,
      case when a.position > a.first then 'infinity'
        else begins + make_interval(secs => (sum(a.places) over (order by a.first, a.position) - a.places) / a_second) end
    from asked as a
    order by a.position
    on conflict on constraint deliveries_pkey do update set
      status = 'pending', dead_at = null, ordering_key = excluded.ordering_key,
      next_attempt_at = least(d.next_attempt_at, excluded.next_attempt_at), attempts_before = d.attempts
    -- What waits for its first attempt will have it without this. Of an order, the others could not be told to wait for it.
    where d.status <> 'pending' or d.next_attempt_at is not null or excluded.ordering_key is not null
    returning d.position, d.ordering_key
  ), lines as (
    select r.ordering_key, max(r.position) as last from replayed as r where r.ordering_key is not null group by r.ordering_key
  )
  select array_agg(l.ordering_key), array_agg(l.last) into keys, lasts from lines as l;
  if keys is not null then
    perform webhook.line_up(replay.tenant_id, replay.endpoint_id, keys, lasts);
  end if;
  perform webhook.half_open(replay.tenant_id, replay.endpoint_id);
  return counted;
end
$$;
comment on function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer) is
  'Delivers events of a range of positions to an endpoint again, or for the first time, 100 a second (of one order one after the other): all '
  'that it asks for, or those that became dead letters since failed_since; `most` at once. Returns how many, with those that the dispatcher is '
  'about to hand over anyway; dry_run: how many it would be. Raises webhook_endpoint_unknown, webhook_replay_invalid.';
grant execute on function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer) to rowhouse_owner;
set role rowhouse_owner;

--@ function v1.test_webhook_endpoint(uuid, text)
create or replace function v1.test_webhook_endpoint(id uuid, type text default 'webhook.test')
returns json
language plpgsql
volatile
security definer -- clients hold no grant to write deliveries
set search_path = ''
parallel unsafe
as $$
declare
  endpoint webhook.endpoints := webhook.require_endpoint(test_webhook_endpoint.id);
  sent_position bigint;
begin
  if type is null or type !~ '^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$' or length(type) > 200 then
    perform request.raise_error('webhook_endpoint_invalid', 'that is no type of event', 'leave it out, or give one such as app.jobs.updated');
  end if;
  sent_position := webhook.send_test(endpoint.tenant_id, endpoint.id, type);
  return json_build_object('endpoint_id', endpoint.id, 'position', sent_position, 'event_id', 'test_' || sent_position);
end
$$;
comment on function v1.test_webhook_endpoint(uuid, text) is $$Send a test to a webhook endpoint

For admins and owners. An event with data {"test": true}, tried once, outside of any order. What came of it is in webhook_deliveries.$$;
grant execute on function v1.test_webhook_endpoint(uuid, text) to tenant_user;

--@ function v1.replay_webhook_deliveries(uuid, bigint, bigint, timestamptz, timestamptz, timestamptz, boolean)
create function v1.replay_webhook_deliveries(
  id uuid, from_position bigint default null, to_position bigint default null, from_time timestamptz default null,
  to_time timestamptz default null, failed_since timestamptz default null, dry_run boolean default false)
returns json
language plpgsql
volatile
security definer -- clients hold no grant to write deliveries
set search_path = ''
parallel unsafe
as $$
declare
  endpoint webhook.endpoints := webhook.require_endpoint(replay_webhook_deliveries.id);
  replayed bigint;
begin
  if num_nonnulls(from_position, to_position, from_time, to_time, failed_since) = 0 then
    perform request.raise_error('webhook_replay_invalid', 'nothing says which events', 'give positions, times, or failed_since');
  end if;
  replayed := webhook.replay(endpoint.tenant_id, endpoint.id, coalesce(from_position, 0), coalesce(to_position, 9223372036854775807), dry_run,
    failed_since, coalesce(from_time, '-infinity'), coalesce(to_time, 'infinity'));
  return json_build_object('endpoint_id', endpoint.id, 'events', replayed, 'dry_run', dry_run);
end
$$;
comment on function v1.replay_webhook_deliveries(uuid, bigint, bigint, timestamptz, timestamptz, timestamptz, boolean) is
$$Replay deliveries

For admins and owners. Events of a range of positions or times that the endpoint asks for are sent again, 100 a second, or of one order one after
the other, also those from before it was made or from while it was disabled; with failed_since, only the dead ones since then. They keep their
webhook-id. dry_run: how many it would be.$$;
grant execute on function v1.replay_webhook_deliveries(uuid, bigint, bigint, timestamptz, timestamptz, timestamptz, boolean) to tenant_user;

--@ function v1.redeliver_webhook(uuid, bigint)
create function v1.redeliver_webhook(id uuid, "position" bigint)
returns json
language plpgsql
volatile
security definer -- clients hold no grant to write deliveries
set search_path = ''
parallel unsafe
as $$
declare
  endpoint webhook.endpoints := webhook.require_endpoint(redeliver_webhook.id);
begin
  if webhook.replay(endpoint.tenant_id, endpoint.id, position, position) = 0 then
    perform request.raise_error('webhook_delivery_unknown', 'the endpoint asks for no event at this position');
  end if;
  return json_build_object('endpoint_id', endpoint.id, 'position', position, 'event_id', 'evt_' || position);
end
$$;
comment on function v1.redeliver_webhook(uuid, bigint) is $$Deliver one event again

For admins and owners. At once, with the same webhook-id, whatever became of it before; its schedule of attempts begins anew.$$;
grant execute on function v1.redeliver_webhook(uuid, bigint) to tenant_user;
