-- migrate:up
-- What goes down takes its columns along.
-- squawk-ignore-file ban-drop-column, require-concurrent-index-creation, require-concurrent-index-deletion, adding-field-with-default, constraint-missing-not-valid, disallowed-unique-constraint, ban-drop-not-null, adding-not-nullable-field
set local lock_timeout = '3s';
set local search_path = '';

--@ run undo grants app.job_runs
-- Privileges: check by hand that no other object of the book grants the same.
revoke execute on function app.require_lease(uuid, integer), app.start_job(uuid), app.report_progress(uuid, integer, jsonb), app.record_findings(uuid, integer, jsonb), app.create_output_file(uuid, integer, text, text, text), app.finish_job(uuid, integer, text, jsonb, jsonb), app.requeue_job(uuid, integer, jsonb), app.abandon_job(uuid, jsonb) from rowhouse_worker;

--@ drop function ledger.doze(text)
drop function ledger.doze(text);

--@ drop function ledger.take(text, integer, integer)
drop function ledger.take(text, integer, integer);

--@ drop data ledger.cursors
-- Where the jobs' dispatcher is: its new cursors begin there (below, at app.jobs).
select set_config('rowhouse.kept_cursors', coalesce((select jsonb_object_agg(slot, position)::text from ledger.cursors where consumer = 'jobs'), '{}'), true);
delete from ledger.consumers;

--@ drop table ledger.cursors
drop table ledger.cursors;

--@ drop policy "The ledger's functions append" on ledger.entries
-- ACCESS EXCLUSIVE on ledger.entries until commit.
drop policy "The ledger's functions append" on ledger.entries;

--@ run undo grants request.context
-- Privileges: check by hand that no other object of the book grants the same.
revoke execute on function request.seal(), request.tenant_id(), request.has_tenant_role(text), request.tenant_role(), request.role(), request.subject(), request.token_id(), request.header(text) from tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;

--@ drop view request.error_codes
drop view request.error_codes;

--@ schema webhook
create schema webhook;
comment on schema webhook is 'Where tenants'' events are sent: endpoints, their secrets, deliveries, and what workers do for them.';
grant usage on schema webhook to tenant_user, rowhouse_worker;
grant usage, create on schema webhook to rowhouse_dispatcher;

--@ view request.error_codes
create view request.error_codes (code, status, title) as values
  ('token_required',       401, 'A bearer token is required'),
  ('token_invalid',        401, 'The token is not valid'),
  ('token_expired',        401, 'The token has expired'),
  ('tenant_required',      400, 'This call needs a tenant'),
  ('tenant_unknown',       404, 'No such tenant'),
  ('tenant_mismatch',      403, 'The token belongs to another tenant'),
  ('tenant_suspended',     403, 'The tenant is suspended'),
  ('tenant_exists',        409, 'A tenant with this id or slug exists'),
  ('tenant_invalid',       422, 'The tenant is not valid'),
  ('context_sealed',       403, 'The transaction is sealed for another context'),
  ('membership_required',  403, 'The subject is not a member of the tenant'),
  ('role_insufficient',    403, 'The role does not allow this'),
  ('owner_required',       409, 'A tenant keeps at least one owner'),
  ('count_inexact',        400, 'Only exact counts are answered'),
  ('key_unknown',          404, 'No such signing key'),
  ('api_key_invalid',      401, 'The API key is not valid'),
  ('api_key_unknown',      404, 'No such API key'),
  ('api_key_malformed',    422, 'The API key cannot be made like this'),
  ('address_refused',      403, 'Not allowed from this address'),
  ('scope_insufficient',   403, 'The API key''s scopes do not allow this'),
  ('file_not_found',       404, 'No such file'),
  ('file_exists',          409, 'The file is already stored'),
  ('upload_checksum',      422, 'The body does not have the announced checksum'),
  ('event_unknown',        404, 'No such event'),
  ('job_not_found',        404, 'No such job'),
  ('job_type_unknown',     422, 'No such job type'),
  ('job_result_too_large', 422, 'The result of the job is too large'),
  ('job_schedule_invalid', 422, 'The schedule is not valid'),
  ('quota_exceeded',       429, 'The tenant''s plan does not allow more of these'),
  ('webhook_endpoint_unknown', 404, 'No such webhook endpoint'),
  ('webhook_endpoint_invalid', 422, 'The webhook endpoint is not valid'),
  ('webhook_delivery_unknown', 404, 'No such webhook delivery'),
  ('webhook_replay_invalid', 422, 'The replay is not valid'),
  ('webhooks_unavailable', 503, 'Webhooks are not available right now'),
  ('job_transition',       409, 'The job cannot change to this status'),
  ('event_invalid',        422, 'The event cannot be emitted like this'),
  ('event_too_large',      413, 'The event is too large'),
  ('request_invalid',      400, 'The request is not valid'),
  ('idempotency_conflict', 409, 'The idempotency key was used with another body'),
  ('idempotency_key_invalid', 400, 'The Idempotency-Key is not valid'),
  ('idempotency_in_flight', 409, 'A request with this Idempotency-Key is being carried out'),
  ('idempotency_mismatch', 422, 'The Idempotency-Key was used for another request'),
  ('idempotency_answer_lost', 409, 'The request was carried out before; its answer is not kept'),
  ('lease_lost',           409, 'Another attempt runs this job now');
comment on view request.error_codes is 'Every error code that SQL raises. docs/errors.md explains each; a test compares both ways.';

--@ table tenancy.plans
alter table tenancy.plans
  add column open_streams integer not null default 100,
  add column job_schedules integer not null default 50,
  add column webhook_endpoints integer not null default 20,
  add column delivery_concurrency integer not null default 32,
  add column delivery_weight integer not null default 2,
  add constraint plans_open_streams_not_negative check (open_streams >= 0),
  add constraint plans_job_schedules_not_negative check (job_schedules >= 0),
  add constraint plans_webhooks_positive check (webhook_endpoints >= 0 and delivery_concurrency > 0 and delivery_weight > 0);
comment on column tenancy.plans.open_streams is 'Streams of events that one edge keeps open for the tenant.';
comment on column tenancy.plans.job_schedules is 'Schedules that a tenant may have.';
comment on column tenancy.plans.webhook_endpoints is 'Webhook endpoints that a tenant may have.';
comment on column tenancy.plans.delivery_concurrency is 'Deliveries of one tenant that one worker has under way at the same time.';
comment on column tenancy.plans.delivery_weight is 'The tenant''s share of a worker''s deliveries while there are more than it can have under way.';
--= create table tenancy.plans (
--=   tier text collate "C" not null,
--=   job_concurrency integer not null,
--=   description text not null,
--=   read_rate integer not null,
--=   read_burst integer not null,
--=   write_rate integer not null,
--=   write_burst integer not null,
--=   expensive_rate integer not null,
--=   expensive_burst integer not null,
--=   request_concurrency integer not null,
--=   queue_length integer not null,
--=   queue_wait interval not null,
--=   statement_timeout interval not null,
--=   cache_bytes bigint not null,
--=   open_streams integer not null default 100,
--=   job_schedules integer not null default 50,
--=   webhook_endpoints integer not null default 20,
--=   delivery_concurrency integer not null default 32,
--=   delivery_weight integer not null default 2,
--=   pool text collate "C",
--=   constraint plans_pkey primary key (tier),
--=   constraint plans_job_concurrency_positive check (job_concurrency > 0),
--=   constraint plans_rates_positive check (least(read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst) > 0),
--=   constraint plans_requests_positive check (request_concurrency > 0 and queue_length >= 0),
--=   constraint plans_queue_wait_range check (queue_wait between '0' and '1 minute'),
--=   constraint plans_statement_timeout_range check (statement_timeout between '10 ms' and '1 hour'),
--=   constraint plans_cache_bytes_not_negative check (cache_bytes >= 0),
--=   constraint plans_open_streams_not_negative check (open_streams >= 0),
--=   constraint plans_job_schedules_not_negative check (job_schedules >= 0),
--=   constraint plans_webhooks_positive check (webhook_endpoints >= 0 and delivery_concurrency > 0 and delivery_weight > 0)
--= );
--= comment on table tenancy.plans is 'What a tenant of each tier may use. tenancy.tenant_settings has the exceptions.';
--= comment on column tenancy.plans.job_concurrency is 'Jobs of one tenant that run at the same time.';
--= comment on column tenancy.plans.read_rate is 'Tokens that the tenant''s bucket gains each second: GET and HEAD.';
--= comment on column tenancy.plans.read_burst is 'Tokens that the bucket holds.';
--= comment on column tenancy.plans.write_rate is 'As read_rate, for requests that write.';
--= comment on column tenancy.plans.expensive_rate is 'As read_rate, for function calls and exact counts.';
--= comment on column tenancy.plans.request_concurrency is 'Requests of one tenant that one edge has in flight at the same time.';
--= comment on column tenancy.plans.queue_length is 'Requests that wait for one of those, for at most queue_wait.';
--= comment on column tenancy.plans.statement_timeout is 'How long one statement of a request may run.';
--= comment on column tenancy.plans.cache_bytes is 'What one edge keeps of the tenant''s answers.';
--= comment on column tenancy.plans.open_streams is 'Streams of events that one edge keeps open for the tenant.';
--= comment on column tenancy.plans.job_schedules is 'Schedules that a tenant may have.';
--= comment on column tenancy.plans.webhook_endpoints is 'Webhook endpoints that a tenant may have.';
--= comment on column tenancy.plans.delivery_concurrency is 'Deliveries of one tenant that one worker has under way at the same time.';
--= comment on column tenancy.plans.delivery_weight is 'The tenant''s share of a worker''s deliveries while there are more than it can have under way.';
--= comment on column tenancy.plans.pool is 'The pool of tenancy.pools that the tier is served from; null for the shared ones.';
--= grant select on tenancy.plans to rowhouse_worker, operator;

--@ data tenancy.plans
update tenancy.plans set
  open_streams = case tier when 'free' then 10 when 'enterprise' then 2000 else 100 end,
  job_schedules = case tier when 'free' then 5 when 'enterprise' then 500 else 50 end,
  webhook_endpoints = case tier when 'free' then 5 when 'enterprise' then 200 else 20 end,
  delivery_concurrency = case tier when 'free' then 8 when 'enterprise' then 64 else 32 end,
  delivery_weight = case tier when 'free' then 1 when 'enterprise' then 4 else 2 end;
--= insert into tenancy.plans (tier, job_concurrency, description, read_rate, read_burst, write_rate, write_burst,
--=   expensive_rate, expensive_burst, request_concurrency, queue_length, queue_wait, statement_timeout, cache_bytes)
--= values
--=   ('free', 1, 'One job at a time, 50 reads a second', 50, 100, 10, 20, 5, 10, 2, 16, '2 s', '5 s', 1048576),
--=   ('standard', 2, 'Two jobs at a time, 500 reads a second', 500, 1000, 100, 200, 50, 100, 4, 64, '2 s', '10 s', 8388608),
--=   ('enterprise', 8, 'Eight jobs at a time, 5,000 reads a second', 5000, 10000, 1000, 2000, 500, 1000, 8, 256, '2 s', '15 s', 67108864);
--= update tenancy.plans set open_streams = case tier when 'free' then 10 when 'enterprise' then 2000 else 100 end;
--= update tenancy.plans set job_schedules = case tier when 'free' then 5 when 'enterprise' then 500 else 50 end;
--= update tenancy.plans set
--=   webhook_endpoints = case tier when 'free' then 5 when 'enterprise' then 200 else 20 end,
--=   delivery_concurrency = case tier when 'free' then 8 when 'enterprise' then 64 else 32 end,
--=   delivery_weight = case tier when 'free' then 1 when 'enterprise' then 4 else 2 end;

--@ function request.traceparent()
create function request.traceparent()
returns text
language sql
stable
security invoker
parallel safe
return substring(request.header('traceparent') from '^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?=$|-)');
comment on function request.traceparent() is 'The trace that the request is part of (W3C Trace Context); null without a valid one.';

--@ grants request.context
grant execute on function
  request.seal(), request.tenant_id(), request.has_tenant_role(text), request.tenant_role(), request.role(),
  request.subject(), request.token_id(), request.header(text), request.traceparent()
  to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;

--@ function tenancy.own_rows()
create function tenancy.own_rows()
returns text
language sql
immutable
security invoker
parallel safe
-- Twice the same test. The second finds the index and prunes partitions when the statement starts. The first is there because
-- PostgreSQL runs a leakproof condition of the caller (name = …) before a policy that costs more, and a condition that raises
-- an error for a match then tells what other tenants store. `= any (array[…])` costs half an operator, so no comparison is
-- cheaper, and it forms no equivalence class, so it stays in front (order_qual_clauses in PostgreSQL's createplan.c). The array
-- holds the column, not the tenant: a condition that prunes once more while running makes PostgreSQL 18.4 lose an update
-- that had to wait for another (test/sql/policies.test.ts).
return '(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()';
comment on function tenancy.own_rows() is 'Part of protect(): the condition that a row is the sealed tenant''s.';

--@ function tenancy.readable_rows(text)
create function tenancy.readable_rows(read_role text)
returns text
language sql
immutable
security invoker
parallel safe
-- In a sub-select, it is evaluated once.
return tenancy.own_rows() || format(' and (select request.has_tenant_role(%L))', read_role);
comment on function tenancy.readable_rows(text) is 'Part of protect(): the condition that a member of this role or above may read a row.';

--@ function tenancy.add_policies(regclass, text, text, text)
create or replace function tenancy.add_policies(target regclass, read_role text, write_role text, write_condition text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  own_tenant constant text := tenancy.own_rows();
  -- A restrictive policy would come before these, and keep the tenant from being searched for in an index.
  as_writer constant text := format(' and (select request.has_tenant_role(%L))', write_role) || coalesce(' and (' || write_condition || ')', '');
  may_write constant text := own_tenant || as_writer;
  -- No condition of the caller sees a new row before this does, and nothing is pruned by it.
  may_add constant text := 'tenant_id = (select request.tenant_id())' || as_writer;
begin
  perform tenancy.add_policy(target, 'A member reads the rows of their tenant', 'select', 'tenant_user', tenancy.readable_rows(read_role));
  perform tenancy.add_policy(target, 'A writer adds rows to their tenant', 'insert', 'tenant_user', may_add);
  perform tenancy.add_policy(target, 'A writer changes rows of their tenant', 'update', 'tenant_user', may_write);
  perform tenancy.add_policy(target, 'A writer deletes rows of their tenant', 'delete', 'tenant_user', may_write);
  perform tenancy.add_policy(target, 'A service works within its sealed tenant', 'all', 'rowhouse_worker, rowhouse_edge', own_tenant);
end
$$;
comment on function tenancy.add_policies(regclass, text, text, text) is 'Part of protect(): one policy for each verb and kind of role.';

--@ function tenancy.expose(regclass, text[], text[])
create or replace function tenancy.expose(target regclass, client_verbs text[], server_columns text[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  table_name text := (select relname from pg_catalog.pg_class where oid = target);
  every_column text;
  client_columns text;
  relation text;
  described record;
begin
  select string_agg(quote_ident(attname), ', ' order by attnum),
         string_agg(quote_ident(attname), ', ' order by attnum) filter (
           where attname <> all (server_columns || '{created_at,updated_at}'::text[]) and attgenerated = '')
  into every_column, client_columns
  from pg_catalog.pg_attribute where attrelid = target and attnum > 0 and not attisdropped;

  execute format('create or replace view v1.%I with (security_invoker = true) as select %s from %s', table_name, every_column, target);
  execute format('comment on view v1.%I is %L', table_name, pg_catalog.obj_description(target, 'pg_class'));
  for described in
    select attname, pg_catalog.col_description(target, attnum) as says from pg_catalog.pg_attribute
    where attrelid = target and attnum > 0 and not attisdropped and pg_catalog.col_description(target, attnum) is not null
  loop
    execute format('comment on column v1.%I.%I is %L', table_name, described.attname, described.says);
  end loop;
  foreach relation in array array[target::text, format('v1.%I', table_name)] loop
    execute format('revoke insert, update, delete on %s from tenant_user', relation);
    execute format('grant select on %s to tenant_user', relation);
    if 'insert' = any (client_verbs) then
      execute format('grant insert (%s) on %s to tenant_user', client_columns, relation);
    end if;
    if 'update' = any (client_verbs) then
      execute format('grant update (%s) on %s to tenant_user', client_columns, relation);
    end if;
    if 'delete' = any (client_verbs) then
      execute format('grant delete on %s to tenant_user', relation);
    end if;
  end loop;
  if exists (select from pg_catalog.pg_trigger where tgrelid = target and tgname = 'ledger_insert') then
    perform ledger.add_event_source(target, format('v1.%I', table_name)::regclass);
  end if;
end
$$;
comment on function tenancy.expose(regclass, text[], text[]) is
  'Part of protect(): the v1 view, the grants of exactly what clients may do with it and with the table beneath, and its events.';

--@ table ledger.entries
-- Whoever writes waits while the check and the index look at every entry, about 1 s of CPU for a million; readers wait for the check alone.
alter table ledger.entries
  alter column row_id drop not null,
  add column leads boolean not null default true,
  drop constraint entries_operation_known,
  add constraint entries_operation_known check (operation in ('insert', 'update', 'delete', 'emit'));
drop index ledger.entries_follow_idx;
create index entries_follow_idx on ledger.entries (transaction_id) where leads;
grant update on ledger.positions to rowhouse_dispatcher;
comment on column ledger.entries.occurred_at is 'When its position was drawn: later ones have later times (ledger.position_at).';
comment on column ledger.entries.leads is $c$Each statement has at least one for each of its tenants, which says to followers what all of them do.
@sample "true"$c$;
comment on column ledger.entries.table_name is 'The table; of what was emitted, the type of the event.';
comment on column ledger.entries.row_id is 'The primary key without the tenant; a JSON array where it has several columns. The subject of what was emitted.';
comment on column ledger.entries.transaction_id is $c$The transaction that wrote it.
@sample "3"$c$;
grant execute on function ledger.slot(text) to rowhouse_dispatcher;
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

--@ data ledger.positions
-- From here on last_value is a position that was drawn, which the dispatcher's arithmetic relies on.
select nextval('ledger.positions');

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

--@ function ledger.view_words(regclass)
create function ledger.view_words(api_view regclass)
returns table (depth bigint, words text)
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  -- A backslash before a brace: it is part of a name.
  select coalesce(sum(case when right(piece[1], 1) = '{' then 1 else -1 end)
      over (order by nth rows between unbounded preceding and 1 preceding), 0), piece[1]
  from pg_catalog.pg_rewrite as r
  cross join regexp_matches(r.ev_action::text, '(?:\\.|[^{}\\])*[{}]', 'g') with ordinality as pieces (piece, nth)
  where r.ev_class = api_view and r.rulename = '_RETURN';
end;
comment on function ledger.view_words(regclass) is
  'The parse tree of a view as PostgreSQL keeps it, in pieces that end with a brace, and how many braces are open before each: the view''s '
  'own query is at 1, its clauses are at 2, and sub-selects are deeper.';

--@ function ledger.shows_each_row(regclass, regclass)
create function ledger.shows_each_row(api_view regclass, target regclass)
returns boolean
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  select count(*) filter (where depth = 2 and words like 'RANGETBLENTRY%') = 1
    and count(*) filter (where depth = 2 and words ~ format('^ :rtekind 0 :relid %s :.* :tablesample <> ', target::oid)) = 1
    and count(*) filter (where depth = 2 and words like ') :quals <>}') = 1
    -- Clauses that the query does not have.
    and string_agg(words, '') filter (where depth = 1) ~ (':groupClause <> .* :havingQual <> .* :distinctClause <> .* :limitOffset <> '
      ':limitCount <> .* :setOperations <> ')
  from ledger.view_words(api_view);
end;
comment on function ledger.shows_each_row(regclass, regclass) is
  'Whether a view reads one table, this one, and neither leaves rows out nor adds any: no where, join, group by, distinct or limit.';

--@ function ledger.plain_columns(regclass, regclass)
create function ledger.plain_columns(api_view regclass, target regclass)
returns text[]
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  with shown as (
    select regexp_match(words, '^ :resno (\d+) :.* :resorigtbl (\d+) :resorigcol (\d+) :resjunk false\}$') as entry
    from ledger.view_words(api_view) where depth = 2 and words like ' :resno %')
  select coalesce(array_agg(a.attname::text order by a.attnum), '{}')
  from shown
  join pg_catalog.pg_attribute as v on v.attrelid = api_view and v.attnum = entry[1]::smallint
  join pg_catalog.pg_attribute as a on a.attrelid = target and a.attnum = entry[3]::smallint and a.attname = v.attname
  where entry[2]::oid = target and has_column_privilege('tenant_user', api_view, v.attnum, 'select');
end;
comment on function ledger.plain_columns(regclass, regclass) is
  'The columns of a table that a view shows as they are, under their own names, and that clients may read in it. What it computes (a masked '
  'column of the same name) is none of them: entries have the table''s rows.';

--@ function ledger.row_version(tid, xid)
create function ledger.row_version(ctid tid, xmin xid)
returns text
language sql
stable
security invoker
parallel safe
-- Each by itself is used again: another transaction gets the place, and one transaction may change a row twice.
return ctid || ' ' || xmin;
comment on function ledger.row_version(tid, xid) is 'Differs for each version of a row that there is and was in one table of one database.';
grant execute on function ledger.row_version(tid, xid) to tenant_user, rowhouse_dispatcher;

--@ function ledger.plain_condition(text)
create function ledger.plain_condition(condition text)
returns text
language sql
immutable
security invoker
parallel safe
-- tenancy.printed_condition() makes a view, which a reader of events cannot. Nothing is lost by this: what is compared has no OR, so that
-- parentheses mean nothing, and no literal but the role's.
return regexp_replace(lower(condition), '::text|\s|[()]| as [a-z_]+', '', 'g');
comment on function ledger.plain_condition(text) is 'A condition of protect()''s without what PostgreSQL adds when it prints one.';

--@ function ledger.policy_role(regclass)
create function ledger.policy_role(target regclass)
returns text
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  select r.role
  from pg_catalog.pg_policy as p
  cross join unnest('{viewer,member,admin,owner}'::text[]) as r (role)
  where p.polrelid = target and p.polname = 'A member reads the rows of their tenant' and to_regrole('tenant_user') = any (p.polroles)
    and ledger.plain_condition(pg_catalog.pg_get_expr(p.polqual, p.polrelid)) = ledger.plain_condition(tenancy.readable_rows(r.role));
end;
comment on function ledger.policy_role(regclass) is
  'The read_role that protect() was told, where its policy is still as it made it; null: the policy lets other members read, or fewer rows.';
grant execute on function ledger.policy_role(regclass), ledger.plain_condition(text), tenancy.readable_rows(text), tenancy.own_rows()
  to tenant_user, rowhouse_dispatcher;

--@ function ledger.json_schema(oid, boolean)
create function ledger.json_schema(type_id oid, nullable boolean)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
declare
  base oid := (select coalesce(nullif(typbasetype, 0), oid) from pg_catalog.pg_type where oid = type_id);
  element oid := (select nullif(typelem, 0) from pg_catalog.pg_type where oid = base and typcategory = 'A');
  shape jsonb;
begin
  if element is not null then
    shape := jsonb_build_object('type', 'array', 'items', ledger.json_schema(element, true));
  else
    shape := case base::regtype::text
      when 'boolean' then '{"type": "boolean"}'
      when 'smallint' then '{"type": "integer"}'
      when 'integer' then '{"type": "integer"}'
      when 'bigint' then '{"type": "integer"}'
      when 'numeric' then '{"type": "number"}'
      when 'real' then '{"type": "number"}'
      when 'double precision' then '{"type": "number"}'
      when 'uuid' then '{"type": "string", "format": "uuid"}'
      when 'timestamp with time zone' then '{"type": "string", "format": "date-time"}'
      when 'date' then '{"type": "string", "format": "date"}'
      when 'json' then '{}'
      when 'jsonb' then '{}'
      else '{"type": "string"}' end::jsonb;
  end if;
  if nullable and shape ? 'type' then
    shape := jsonb_set(shape, '{type}', jsonb_build_array(shape -> 'type', 'null'));
  end if;
  return shape;
end
$$;
comment on function ledger.json_schema(oid, boolean) is 'What to_jsonb() makes of a value of a type, as JSON Schema (draft 2020-12).';

--@ function ledger.row_schema(regclass, regclass, text[])
create function ledger.row_schema(target regclass, api_view regclass, columns text[])
returns jsonb
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  select jsonb_build_object('type', 'object', 'properties', coalesce(jsonb_object_agg(a.attname,
    ledger.json_schema(a.atttypid, not a.attnotnull) || coalesce(jsonb_strip_nulls(jsonb_build_object('description',
      coalesce(pg_catalog.col_description(api_view, v.attnum), pg_catalog.col_description(target, a.attnum)))), '{}')), '{}'))
  from pg_catalog.pg_attribute as a
  join pg_catalog.pg_attribute as v on v.attrelid = api_view and v.attname = a.attname and not v.attisdropped
  where a.attrelid = target and a.attnum > 0 and not a.attisdropped and a.attname = any (columns);
end;
comment on function ledger.row_schema(regclass, regclass, text[]) is 'JSON Schema of these columns of a table, from the catalogue and its comments.';

--@ table ledger.event_sources
create table ledger.event_sources (
  name text collate "C" not null,
  relation regclass,
  columns text[],
  shown_after bigint[],
  policy_role text collate "C",
  policy_version text collate "C",
  read_role text collate "C",
  version integer not null default 1,
  description text,
  schema jsonb not null,
  constraint event_sources_pkey primary key (name),
  constraint event_sources_read_role_known check (read_role in ('viewer', 'member', 'admin', 'owner')),
  constraint event_sources_version_positive check (version > 0),
  constraint event_sources_table_has_columns check (
    (relation is null) = (columns is null) and cardinality(columns) is not distinct from cardinality(shown_after))
);
comment on table ledger.event_sources is
  'What makes events: tables that clients read through v1 (tenancy.expose), and declared types of what is emitted. Nothing else leaves the ledger.';
comment on column ledger.event_sources.name is 'The table as ledger.entries names it, or the type of what is emitted.';
comment on column ledger.event_sources.columns is 'The only columns that an event shows: those that clients may read in the v1 view.';
comment on column ledger.event_sources.shown_after is
  'Of each column, the position behind which entries show it. Before it was added its name may have been that of another, which was hidden.';
comment on column ledger.event_sources.policy_role is 'Who may read the table by protect()''s policy, in its policy_version; null: the policy is another.';
comment on column ledger.event_sources.policy_version is 'ledger.row_version() of that policy, so that it need not be printed and compared again.';
comment on column ledger.event_sources.read_role is 'The least role that sees its events, as it was given; null: whoever may read every row of the table.';
comment on column ledger.event_sources.version is 'Rises when a column is taken away or changes its type: the last part of dataschema.';
comment on column ledger.event_sources.schema is 'JSON Schema of a row of the table, or of the emitted data.';
grant select on ledger.event_sources to tenant_user, rowhouse_dispatcher;

--@ view ledger.sources
create view ledger.sources with (security_invoker = true) as
  select s.name, s.relation, s.columns, s.version, coalesce(s.read_role, case
      when not exists (select from pg_catalog.pg_policy as p where p.polrelid = s.relation and not p.polpermissive and p.polcmd in ('r', '*'))
      then (
        select case when s.policy_version = ledger.row_version(p.ctid, p.xmin) then s.policy_role else ledger.policy_role(s.relation) end
        from pg_catalog.pg_policy as p where p.polrelid = s.relation and p.polname = 'A member reads the rows of their tenant')
      end, 'owner') as least_role
  from ledger.event_sources as s;
comment on view ledger.sources is
  'ledger.event_sources with the least role that sees its events as the policies are now: no event can be asked which rows one may read, so '
  'where a policy keeps some from some, none but owners see any.';
grant select on ledger.sources to tenant_user, rowhouse_dispatcher;

--@ table ledger.past_event_schemas
create table ledger.past_event_schemas (
  name text collate "C" not null,
  version integer not null,
  schema jsonb not null,
  replaced_at timestamptz not null default now(),
  constraint past_event_schemas_pkey primary key (name, version)
);
comment on table ledger.past_event_schemas is 'The schemas that earlier versions of ledger.event_sources had.';
grant select on ledger.past_event_schemas to tenant_user;

--@ function ledger.keep_event_source(ledger.event_sources)
create function ledger.keep_event_source(wanted ledger.event_sources)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  present ledger.event_sources;
begin
  select * into present from ledger.event_sources where name = wanted.name for update;
  if not found then
    wanted.shown_after := case when wanted.columns is not null then array_fill(0::bigint, array[cardinality(wanted.columns)]) end;
    insert into ledger.event_sources select wanted.*;
    return;
  end if;
  if wanted.columns is not null then
    wanted.shown_after := array(
      select coalesce(present.shown_after[array_position(present.columns, c.name)], (select last_value from ledger.positions))
      from unnest(wanted.columns) with ordinality as c (name, nth) order by c.nth);
  end if;
  wanted.version := present.version;
  -- A reader of the old schema reads what only has more. Descriptions are words.
  if exists (
    select from jsonb_each(present.schema -> 'properties') as was
    where was.value - 'description' is distinct from (wanted.schema -> 'properties' -> was.key) - 'description')
    or (present.schema -> 'properties' is null and present.schema <> wanted.schema) then
    insert into ledger.past_event_schemas (name, version, schema) values (present.name, present.version, present.schema);
    wanted.version := present.version + 1;
  end if;
  update ledger.event_sources set (relation, columns, shown_after, policy_role, policy_version, read_role, version, description, schema)
    = (wanted.relation, wanted.columns, wanted.shown_after, wanted.policy_role, wanted.policy_version, wanted.read_role, wanted.version,
      wanted.description, wanted.schema)
  where name = wanted.name;
end
$$;
comment on function ledger.keep_event_source(ledger.event_sources) is
  'Adds a source of events or renews it, and raises its version where a reader of the schema before could not read what comes.';

--@ function ledger.add_event_source(regclass, regclass, text, text[])
create function ledger.add_event_source(target regclass, api_view regclass, read_role text default null, columns text[] default null)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  source ledger.event_sources;
begin
  source.name := (
    select format('%I.%I', n.nspname, c.relname) from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace where c.oid = target);
  source.relation := target;
  if read_role is null and not ledger.shows_each_row(api_view, target) then
    raise exception using errcode = 'invalid_table_definition',
      message = format('%s does not show each row of %s, and its events would', api_view, target),
      hint = 'say who may see them: ledger.add_event_source(…, read_role => ''owner'')';
  end if;
  source.columns := coalesce(columns, ledger.plain_columns(api_view, target));
  -- Where no role is given, the policies are looked at again whenever an event is read (ledger.sources).
  source.read_role := read_role;
  source.policy_role := ledger.policy_role(target);
  source.policy_version := (
    select ledger.row_version(ctid, xmin)
    from pg_catalog.pg_policy where polrelid = target and polname = 'A member reads the rows of their tenant');
  source.version := 1;
  source.description := split_part(coalesce(pg_catalog.obj_description(api_view, 'pg_class'), pg_catalog.obj_description(target, 'pg_class')), e'\n', 1);
  source.schema := ledger.row_schema(target, api_view, source.columns);
  perform ledger.keep_event_source(source);
end
$$;
comment on function ledger.add_event_source(regclass, regclass, text, text[]) is
  'Lets a table make events, of the columns that clients may read in its view as they are. tenancy.expose() calls it; call it for a view made '
  'by hand, and again when the view or its grants change. read_role: the least role that sees them; null: as protect() was told, or owner where '
  'another policy keeps rows from some. columns: instead of those of the view. Safe to repeat. Raises 42P16 for a view that leaves rows out, unless a '
  'read_role is given.';

--@ function ledger.declare_event_type(text, text, jsonb, text)
create function ledger.declare_event_type(type text, description text, schema jsonb default '{}', read_role text default 'viewer')
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  source ledger.event_sources;
begin
  source.name := type;
  source.read_role := read_role;
  source.version := 1;
  source.description := description;
  source.schema := schema;
  perform ledger.keep_event_source(source);
end
$$;
comment on function ledger.declare_event_type(text, text, jsonb, text) is
  'Says what an emitted type means and who may see it. Undeclared types may be emitted, too: any viewer sees them, and they have no dataschema. Safe to repeat.';

--@ function ledger.event_type(text, text)
create function ledger.event_type(table_name text, operation text)
returns text
language sql
immutable
security invoker
parallel safe
return case operation
  when 'emit' then table_name when 'insert' then table_name || '.inserted'
  when 'update' then table_name || '.updated' when 'delete' then table_name || '.deleted' else table_name || '.' || operation end;
comment on function ledger.event_type(text, text) is 'The type of an entry''s event. What is emitted has its type where others have their table.';
grant execute on function ledger.event_type(text, text) to tenant_user, rowhouse_dispatcher;

--@ function ledger.picked(jsonb, text[])
create function ledger.picked(body jsonb, columns text[])
returns jsonb
language sql
immutable
strict
security invoker
set search_path = ''
parallel safe
begin atomic
  select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(body) where key = any (columns);
end;
comment on function ledger.picked(jsonb, text[]) is 'A row with these columns alone.';
grant execute on function ledger.picked(jsonb, text[]) to tenant_user, rowhouse_dispatcher;

--@ function ledger.shown(jsonb, text[])
create function ledger.shown(body jsonb, columns text[])
returns jsonb
language sql
immutable
security invoker
parallel safe
-- By what may be shown, never by what is hidden: old entries have columns that nobody remembers. Mostly that is all of them.
return case when body - columns = '{}' then body else ledger.picked(body, columns) end;
comment on function ledger.shown(jsonb, text[]) is 'ledger.picked(), and cheaper: the planner inlines it.';
grant execute on function ledger.shown(jsonb, text[]) to tenant_user, rowhouse_dispatcher;

--@ function ledger.earlier_columns(text[], bigint[], bigint)
create function ledger.earlier_columns(columns text[], shown_after bigint[], "position" bigint)
returns text[]
language sql
immutable
security invoker
set search_path = ''
parallel safe
begin atomic
  select coalesce(array_agg(c.name), '{}') from unnest(columns, shown_after) as c (name, after) where c.after < "position";
end;
comment on function ledger.earlier_columns(text[], bigint[], bigint) is 'Part of ledger.columns_at(): those of an entry from before some were added.';
grant execute on function ledger.earlier_columns(text[], bigint[], bigint) to tenant_user, rowhouse_dispatcher;

--@ function ledger.columns_at(text[], bigint[], bigint)
create function ledger.columns_at(columns text[], shown_after bigint[], "position" bigint)
returns text[]
language sql
immutable
security invoker
parallel safe
return case when "position" > all (shown_after) then columns else ledger.earlier_columns(columns, shown_after, "position") end;
comment on function ledger.columns_at(text[], bigint[], bigint) is
  'The columns that the entry of a position shows (ledger.event_sources). The planner inlines it, since it has no sub-select.';
grant execute on function ledger.columns_at(text[], bigint[], bigint) to tenant_user, rowhouse_dispatcher;

--@ function ledger.trace_parent(text, bigint)
create function ledger.trace_parent(trace_id text, "position" bigint)
returns text
language sql
immutable
security invoker
parallel safe
return case when trace_id ~ '^[0-9a-f]{32}$' and trace_id <> repeat('0', 32)
  then '00-' || trace_id || '-' || lpad(to_hex(position), 16, '0') || '-01' end;
comment on function ledger.trace_parent(text, bigint) is 'W3C Trace Context of what follows from an entry: the request''s trace, the entry as the parent.';
grant execute on function ledger.trace_parent(text, bigint) to tenant_user, rowhouse_dispatcher;

--@ view ledger.events
-- Sub-selects, not joins: pages are read in the order of an index, and a generic plan might hash the registry and sort a million rows.
create view ledger.events with (security_invoker = true) as
  select e.tenant_id::text, e.position, e.slot, 'evt_' || e.position as id, ledger.event_type(e.table_name, e.operation) as type, e.row_id as subject, e.occurred_at as "time", e.subject as actor, e.table_name as source,
    coalesce((select s.least_role from ledger.sources as s where s.name = e.table_name), 'viewer') as read_role,
    jsonb_strip_nulls(jsonb_build_object(
      'specversion', '1.0', 'id', 'evt_' || e.position, 'source', '/tenants/' || e.tenant_id, 'type', ledger.event_type(e.table_name, e.operation), 'subject', e.row_id,
      'time', to_char(e.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'datacontenttype', 'application/json',
      'tenantid', e.tenant_id, 'actorid', e.subject, 'traceparent', ledger.trace_parent(e.trace_id, e.position)))
    || case when e.operation = 'emit' then jsonb_build_object('data', e.new) else '{}' end
    || coalesce((
      select jsonb_build_object('dataschema', 'rowhouse:/v1/event-types/' || ledger.event_type(e.table_name, e.operation) || '/' || s.version)
        || case when e.operation = 'emit' then '{}' else jsonb_build_object('data', jsonb_build_object(
          'old', ledger.shown(e.old, s.columns), 'new', ledger.shown(e.new, s.columns),
          'changed', to_jsonb(case when not e.changed <@ s.columns
            then array(select c from unnest(e.changed) as c where c = any (s.columns)) else e.changed end))) end
      from (
        select s.version, ledger.columns_at(s.columns, s.shown_after, e.position) as columns
        from ledger.event_sources as s where s.name = e.table_name offset 0) as s), '{}') as event
  from ledger.entries as e
  where e.operation = 'emit' or e.table_name in (select s.name from ledger.event_sources as s where s.relation is not null);
comment on view ledger.events is
  'The one maker of events: entries as CloudEvents 1.0, for whoever may read the entries. Not each entry is an event: only those of '
  'ledger.event_sources, and what was emitted. event costs nothing where it is not selected.';
grant select on ledger.events to rowhouse_dispatcher;

--@ function ledger.readable_sources()
create function ledger.readable_sources()
returns text[]
language sql
stable
security invoker
parallel safe
return array(select s.name from ledger.sources as s where request.has_tenant_role(s.least_role));
comment on function ledger.readable_sources() is 'The tables and declared types whose events the sealed member may see.';
grant execute on function ledger.readable_sources() to tenant_user;

--@ function ledger.declared_sources()
create function ledger.declared_sources()
returns text[]
language sql
stable
security invoker
parallel safe
return array(select name from ledger.event_sources);
comment on function ledger.declared_sources() is 'The tables that make events, and the emitted types that were declared.';
grant execute on function ledger.declared_sources() to tenant_user;

--@ policy "A member reads the rows of their tenant" on ledger.entries
-- The policy that protect() made, and what happened to what the member may read. Not a restrictive policy beside it: PostgreSQL
-- evaluates those before, so that the tenant would be no index condition any more, and a page of 50 would read the whole partition.
drop policy "A member reads the rows of their tenant" on ledger.entries;
create policy "A member reads the rows of their tenant" on ledger.entries
  for select to tenant_user
  using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()
    and (select request.has_tenant_role('viewer'))
    -- A type that nobody has declared is every viewer's.
    and (table_name = any ((select ledger.readable_sources())::text[])
      or (operation = 'emit' and table_name <> all ((select ledger.declared_sources())::text[]))));

--@ grants ledger.events
-- No USAGE on the schema: clients name nothing here, v1.events does. Which token, address and program it was is in no event.
grant select on ledger.events to tenant_user;
grant select (tenant_id, position, slot, occurred_at, table_name, operation, row_id, changed, old, new, subject, trace_id)
  on ledger.entries to tenant_user;

--@ function ledger.append_event(text, text, text, jsonb)
create function ledger.append_event(to_tenant text, type text, subject text, data jsonb)
returns bigint
language plpgsql
volatile
security definer -- as ledger.record()
set search_path = ''
parallel unsafe
as $$
declare
  to_slot constant smallint := ledger.slot(to_tenant);
  appended bigint;
begin
  perform ledger.announce(to_slot);
  if ledger.has_sleeper() then
    notify ledger_wake;
  end if;
  appended := nextval('ledger.positions'); -- not RETURNING: the owner may not read there
  insert into ledger.entries (tenant_id, position, slot, table_name, operation, row_id, new,
    subject, role, token_id, address, user_agent, request_id, trace_id)
  select to_tenant, appended, to_slot, append_event.type, 'emit', append_event.subject, append_event.data, origin.*
  from ledger.origin() as origin;
  return appended;
end
$$;
comment on function ledger.append_event(text, text, text, jsonb) is
  'Emits an event of the system''s, of any type, to any tenant, if the transaction commits. Returns its position.';
grant execute on function ledger.append_event(text, text, text, jsonb) to rowhouse_dispatcher;

--@ function ledger.emit_event(text, text, jsonb)
create function ledger.emit_event(type text, subject text, data jsonb)
returns bigint
language plpgsql
volatile
security definer -- as ledger.record()
set search_path = ''
parallel unsafe
as $$
declare
  largest constant integer := 65536;
  size integer := octet_length(data::text);
begin
  if type !~ '^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$' or length(type) > 100 or type is null then
    perform request.raise_error('event_invalid', 'type: up to 100 characters, words of a-z, A-Z, 0-9 and _ with dots between them', 'such as order.paid');
  -- Or it would pass for what a table says, today or once there is one.
  elsif lower(split_part(type, '.', 1)) in ('rowhouse', 'webhook', 'webhooks', 'event', 'events', 'system')
     or exists (select from pg_catalog.pg_namespace where nspname = lower(split_part(emit_event.type, '.', 1)))
     or starts_with(lower(type), 'pg_') then
    perform request.raise_error('event_invalid', format('types that begin with %s are the system''s', split_part(type, '.', 1)), 'begin with a word of your own, such as order.paid');
  elsif subject = '' or length(subject) > 255 or subject ~ '[\x01-\x1f\x7f]' then
    perform request.raise_error('event_invalid', 'subject: 1 to 255 characters, no control characters', 'name what the event is about, or leave it out');
  elsif size > largest then
    perform request.raise_error('event_too_large', format('its data has %s bytes, %s are allowed', size, largest),
      'store it, in a file for example, and send where it is');
  end if;
  return ledger.append_event(request.tenant_id(), type, subject, data);
end
$$;
comment on function ledger.emit_event(text, text, jsonb) is
  'Emits an event of the sealed tenant, if the transaction commits. Returns its position. Raises event_invalid, event_too_large.';
grant execute on function ledger.emit_event(text, text, jsonb) to rowhouse_worker;

--@ function ledger.position_at(timestamptz)
set role rowhouse_dispatcher;
create function ledger.position_at(at timestamptz)
returns bigint
language plpgsql
stable
security definer -- looks at entries that the member may not see, and tells no more than their positions
set search_path = ''
parallel safe
as $$
declare
  own_tenant constant text := request.tenant_id();
  lowest bigint := 0;
  highest bigint := (select last_value from ledger.positions);
  middle bigint;
  probed record;
  first_found bigint;
begin
  -- Times rise with positions, both being drawn when the entry is written: as good as an index by time, which every write would pay for.
  while lowest <= highest loop
    middle := lowest + (highest - lowest) / 2;
    select e.position, e.occurred_at into probed from ledger.entries as e
    where e.tenant_id = own_tenant and e.position >= middle order by e.position limit 1;
    if probed.occurred_at < at then
      lowest := middle + 1;
    else
      first_found := coalesce(probed.position, first_found);
      highest := middle - 1;
    end if;
  end loop;
  return first_found;
end
$$;
comment on function ledger.position_at(timestamptz) is
  'The position of the sealed tenant''s first entry at or after a time; null where there is none. Entries of transactions that wrote at '
  'the same moment may lie some microseconds to the other side.';
grant execute on function ledger.position_at(timestamptz) to tenant_user;
set role rowhouse_owner;

--@ table tenancy.tenant_settings
alter table tenancy.tenant_settings
  add column open_streams integer,
  add constraint tenant_settings_open_streams_not_negative check (open_streams >= 0);
--= create table tenancy.tenant_settings (
--=   tenant_id tenancy.tenant_id not null,
--=   read_rate integer,
--=   read_burst integer,
--=   write_rate integer,
--=   write_burst integer,
--=   expensive_rate integer,
--=   expensive_burst integer,
--=   rate_shadow boolean not null default false,
--=   rate_weighted boolean not null default false,
--=   request_concurrency integer,
--=   queue_length integer,
--=   queue_wait interval,
--=   statement_timeout interval,
--=   cache_bytes bigint,
--=   open_streams integer,
--=   cache_enabled boolean not null default true,
--=   uncached_relations text[] not null default '{}',
--=   cors_origins text[] not null default '{}',
--=   pool text collate "C",
--=   updated_at timestamptz not null default now(),
--=   constraint tenant_settings_pkey primary key (tenant_id),
--=   constraint tenant_settings_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
--=   constraint tenant_settings_rates_positive
--=     check (least(read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst) > 0),
--=   constraint tenant_settings_requests_positive check (request_concurrency > 0 and queue_length >= 0),
--=   constraint tenant_settings_queue_wait_range check (queue_wait between '0' and '1 minute'),
--=   constraint tenant_settings_statement_timeout_range check (statement_timeout between '10 ms' and '1 hour'),
--=   constraint tenant_settings_cache_bytes_not_negative check (cache_bytes >= 0),
--=   constraint tenant_settings_open_streams_not_negative check (open_streams >= 0),
--=   constraint tenant_settings_cors_origins_form check (
--=     array_to_string(cors_origins, ' ', '?') ~ '^(https?://[A-Za-z0-9.:-]+( https?://[A-Za-z0-9.:-]+)*)?$')
--= ) partition by hash (tenant_id);
--= comment on table tenancy.tenant_settings is 'Where one tenant differs from its plan. Null: as the plan says.';
--= comment on column tenancy.tenant_settings.rate_shadow is 'Limits are counted and logged, and let everything through.';
--= comment on column tenancy.tenant_settings.rate_weighted is 'A large answer costs more than one token.';
--= comment on column tenancy.tenant_settings.uncached_relations is 'Relations of v1 whose rows edges do not keep.';
--= comment on column tenancy.tenant_settings.cors_origins is 'Origins whose pages may call the API for this tenant.';
--= -- One partition: there is at most one row for each tenant, and whoever lists settings reads all.
--= select tenancy.protect('tenancy.tenant_settings', partitions => 1);

--@ function tenancy.settings_of(text)
create or replace function tenancy.settings_of(tenant_id text)
returns jsonb
language sql
stable
security definer -- the edge holds no grant on the directory
set search_path = ''
parallel safe
begin atomic
  select jsonb_build_object(
    'tenantId', t.id, 'slug', t.slug, 'status', t.status, 'tier', t.tier,
    'limits', jsonb_build_object(
      'read', jsonb_build_object('rate', coalesce(s.read_rate, p.read_rate), 'burst', coalesce(s.read_burst, p.read_burst)),
      'write', jsonb_build_object('rate', coalesce(s.write_rate, p.write_rate), 'burst', coalesce(s.write_burst, p.write_burst)),
      'expensive', jsonb_build_object(
        'rate', coalesce(s.expensive_rate, p.expensive_rate), 'burst', coalesce(s.expensive_burst, p.expensive_burst))),
    'shadow', coalesce(s.rate_shadow, false),
    'weighted', coalesce(s.rate_weighted, false),
    'concurrency', coalesce(s.request_concurrency, p.request_concurrency),
    'queue', coalesce(s.queue_length, p.queue_length),
    'queueMs', extract(epoch from coalesce(s.queue_wait, p.queue_wait)) * 1000,
    'statementTimeoutMs', extract(epoch from coalesce(s.statement_timeout, p.statement_timeout)) * 1000,
    'cacheBytes', coalesce(s.cache_bytes, p.cache_bytes),
    'openStreams', coalesce(s.open_streams, p.open_streams),
    'cacheEnabled', coalesce(s.cache_enabled, true),
    'uncachedTables', to_jsonb(coalesce(s.uncached_relations, '{}')),
    'corsOrigins', to_jsonb(coalesce(s.cors_origins, '{}')),
    'pool', coalesce(s.pool, p.pool))
  from tenancy.tenants as t
  join tenancy.plans as p on p.tier = t.tier
  left join tenancy.tenant_settings as s on s.tenant_id = t.id
  where t.id = settings_of.tenant_id;
end;
comment on function tenancy.settings_of(text) is
  'What an edge has to know of a tenant: its plan with the tenant''s own settings over it. Null where there is no such tenant.';
grant execute on function tenancy.settings_of(text) to rowhouse_edge;

--@ function ledger.changes_after(pg_snapshot)
set role rowhouse_dispatcher;
create or replace function ledger.changes_after(seen pg_snapshot)
returns table (snapshot pg_snapshot, tenant_id text, table_name text)
language plpgsql
stable
security definer -- reads that rows of any tenant have changed, never what is in them
set search_path = ''
-- Planning 16 partitions each time costs four times as much as reading them. The generic plan guesses that a third of all entries
-- are new, so it has to be kept from reading them all.
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
begin
  return query select pg_current_snapshot(), null::text, null::text;
  if pg_current_snapshot()::text = seen::text then
    return;
  end if;
  -- What committed in between: transactions that began after that snapshot, and those that it saw running and that have ended.
  return query
    select null::pg_snapshot, changed.tenant_id, changed.table_name
    from (
      select tenant_id::text, table_name from ledger.entries where leads and transaction_id >= pg_snapshot_xmax(seen)
      union
      select null, table_name from tenancy.directory_changes where transaction_id >= pg_snapshot_xmax(seen)
      union
      select entry.tenant_id::text, entry.table_name
      from pg_snapshot_xip(seen) as running
      join ledger.entries as entry on entry.leads and entry.transaction_id = running
      where pg_visible_in_snapshot(running, pg_current_snapshot())
      union
      select null, entry.table_name
      from pg_snapshot_xip(seen) as running
      join tenancy.directory_changes as entry on entry.transaction_id = running
      where pg_visible_in_snapshot(running, pg_current_snapshot())
    ) as changed;
end
$$;
comment on function ledger.changes_after(pg_snapshot) is
  'The first row is this statement''s snapshot; the others say which tables of which tenants have changed, visibly now, since the '
  'snapshot `seen`; the tenant is null for what belongs to none. Exact: nothing that committed in between is missing, whatever '
  'ran at the time.';
grant execute on function ledger.changes_after(pg_snapshot) to rowhouse_edge;
set role rowhouse_owner;

--@ table tenancy.job_types
alter table tenancy.job_types
  add column max_attempts integer not null default 3,
  add column max_result_bytes integer not null default 262144,
  add column paused_at timestamptz,
  add constraint job_types_max_attempts_range check (max_attempts between 1 and 100),
  add constraint job_types_max_result_bytes_range check (max_result_bytes between 1 and 1048576);
comment on table tenancy.job_types is 'The job types that workers handle, one file each: the same for every tenant.';
comment on column tenancy.job_types.max_attempts is 'How often a job of the type is tried.';
comment on column tenancy.job_types.max_result_bytes is 'How large a result may be, as text.';
comment on column tenancy.job_types.paused_at is 'Since when workers take no job of the type; jobs are accepted, and wait.';
grant select on tenancy.job_types to operator;
grant insert (max_attempts, max_result_bytes), update (max_attempts, max_result_bytes, paused_at) on tenancy.job_types to rowhouse_worker;
--= create table tenancy.job_types (
--=   type text collate "C" not null,
--=   description text not null,
--=   registered_at timestamptz not null default now(),
--=   max_attempts integer not null default 3,
--=   max_result_bytes integer not null default 262144,
--=   paused_at timestamptz,
--=   constraint job_types_pkey primary key (type),
--=   constraint job_types_form check (type ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$' and length(type) <= 60),
--=   constraint job_types_max_attempts_range check (max_attempts between 1 and 100),
--=   constraint job_types_max_result_bytes_range check (max_result_bytes between 1 and 1048576)
--= );
--= comment on table tenancy.job_types is 'The job types that workers handle, one file each: the same for every tenant.';
--= comment on column tenancy.job_types.max_attempts is 'How often a job of the type is tried.';
--= comment on column tenancy.job_types.max_result_bytes is 'How large a result may be, as text.';
--= comment on column tenancy.job_types.paused_at is 'Since when workers take no job of the type; jobs are accepted, and wait.';
--= grant select on tenancy.job_types to tenant_user, operator, rowhouse_worker;
--= grant insert (type, description, max_attempts, max_result_bytes),
--=   update (description, registered_at, max_attempts, max_result_bytes, paused_at) on tenancy.job_types to rowhouse_worker;

--@ function ledger.history()
create function ledger.history()
returns text
language sql
stable
security invoker
set search_path = ''
parallel safe
-- The timeline that is written now: the one of pg_control_checkpoint() may be that of before a failover.
return (select system_identifier from pg_catalog.pg_control_system())::text || '/' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8);
comment on function ledger.history() is 'The server''s identity and timeline: another after a restore to another server, a failover or a recovery to a point in time.';
grant execute on function ledger.history() to rowhouse_dispatcher;

--@ table ledger.consumers
alter table ledger.consumers
  alter column tables drop not null,
  add column marks bigint[] not null default array_fill(0::bigint, '{16}'),
  add column marked_at timestamptz not null default now(),
  add column marked_on text collate "C" not null default ledger.history(),
  add column marked_by xid not null default pg_current_xact_id()::xid,
  add constraint consumers_consumer_form check (consumer ~ '^[a-z][a-z0-9_]{0,30}$');
comment on table ledger.consumers is 'Who follows the ledger. Each has a cursor for each of the 16 slots: the sequences ledger.cursor_<consumer>_<slot>.';
comment on column ledger.consumers.tables is 'The tables whose entries ledger.take() hands over; null: all.';
comment on column ledger.consumers.marks is 'Where the cursors of the slots were when the row was written: a dump has sequences as of later than rows (ledger.keep_marks).';
comment on column ledger.consumers.marked_on is 'ledger.history() at the time.';
comment on column ledger.consumers.marked_by is $c$The transaction that wrote the row: another one did if the row was copied.
@sample "3"$c$;
grant insert, delete, update (marks, marked_at, marked_on, marked_by) on ledger.consumers to rowhouse_dispatcher;
--= create table ledger.consumers (
--=   consumer text collate "C" not null,
--=   tables text[],
--=   marks bigint[] not null default array_fill(0::bigint, '{16}'),
--=   marked_at timestamptz not null default now(),
--=   marked_on text collate "C" not null default ledger.history(),
--=   marked_by xid not null default pg_current_xact_id()::xid,
--=   constraint consumers_pkey primary key (consumer),
--=   constraint consumers_consumer_form check (consumer ~ '^[a-z][a-z0-9_]{0,30}$')
--= );
--= comment on table ledger.consumers is 'Who follows the ledger. Each has a cursor for each of the 16 slots: the sequences ledger.cursor_<consumer>_<slot>.';
--= comment on column ledger.consumers.tables is 'The tables whose entries ledger.take() hands over; null: all.';
--= comment on column ledger.consumers.marks is 'Where the cursors of the slots were when the row was written: a dump has sequences as of later than rows (ledger.keep_marks).';
--= comment on column ledger.consumers.marked_on is 'ledger.history() at the time.';
--= comment on column ledger.consumers.marked_by is $$The transaction that wrote the row: another one did if the row was copied.
--= @sample "3"$$;
--= grant select, insert, delete, update (marks, marked_at, marked_on, marked_by) on ledger.consumers to rowhouse_dispatcher;

--@ function ledger.cursor(text, integer)
create function ledger.cursor(consumer text, slot integer)
returns regclass
language sql
stable
security invoker
parallel safe
-- A sequence: a cursor row would leave a dead version for each batch for as long as any transaction anywhere holds a snapshot.
return to_regclass(format('ledger.cursor_%s_%s', consumer, lpad(slot::text, 2, '0')));
comment on function ledger.cursor(text, integer) is 'Where a consumer keeps how far it has followed a slot.';
grant execute on function ledger.cursor(text, integer) to rowhouse_dispatcher;

--@ function ledger.cursor_key(text, integer)
create function ledger.cursor_key(consumer text, slot integer)
returns bigint
language sql
immutable
security invoker
parallel safe
return (21071::bigint << 48) | (254::bigint << 40) | ((hashtext(consumer)::bigint & 4294967295) << 8) | slot;
comment on function ledger.cursor_key(text, integer) is 'Advisory lock key of whoever hands a slot''s entries to a consumer. See ledger.writer_key.';
grant execute on function ledger.cursor_key(text, integer) to rowhouse_dispatcher;

--@ function ledger.slots(text, bigint)
set role rowhouse_dispatcher;
create function ledger.slots(consumer text, drawn bigint)
returns table (slot smallint, settled bigint, writer integer, holder integer)
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  -- One look for all slots: pg_locks stops every backend that takes or gives back a lock.
  with held as materialized (
    select classid::bigint << 32 | objid::bigint as key, pid
    from pg_catalog.pg_locks
    where locktype = 'advisory' and objsubid = 1 and granted and classid::bigint >> 16 = 21071
      and database = (select oid from pg_catalog.pg_database where datname = current_database())),
  writers as materialized (
    select (key >> 40) & 255 as slot, (key & ((1::bigint << 40) - 1)) * 32 as above, pid from held where (key >> 40) & 255 < 16)
  select s.slot::smallint, least(slots.drawn, (select min(w.above) from writers as w where w.slot = s.slot)),
    (select w.pid from writers as w where w.slot = s.slot order by w.above limit 1),
    (select h.pid from held as h where h.key = ledger.cursor_key(slots.consumer, s.slot))
  from generate_series(0, 15) as s (slot);
end;
comment on function ledger.slots(text, bigint) is
  'Each slot as the locks tell it: up to where it is settled (see ledger.settled_position), the process of the oldest unfinished '
  'writer, and the one that hands entries to the consumer right now.';
set role rowhouse_owner;

--@ function ledger.add_consumer(text, text[], bigint)
set role rowhouse_dispatcher;
create function ledger.add_consumer(consumer text, tables text[] default null, start_at bigint default null)
returns void
language plpgsql
volatile
security definer -- the cursors are the dispatcher's: nobody else may move them
set search_path = ''
parallel unsafe
as $$
declare
  drawn bigint := (select last_value from ledger.positions);
  made record;
begin
  insert into ledger.consumers (consumer, tables) values (add_consumer.consumer, add_consumer.tables);
  for made in select * from ledger.slots(add_consumer.consumer, drawn) loop
    execute format('create sequence ledger.cursor_%s_%s as bigint minvalue 0 start 0 cache 1', add_consumer.consumer, lpad(made.slot::text, 2, '0'));
    perform setval(ledger.cursor(add_consumer.consumer, made.slot), least(coalesce(start_at, made.settled), drawn));
  end loop;
  perform ledger.set_marks(add_consumer.consumer, ledger.cursors(add_consumer.consumer));
end
$$;
comment on function ledger.add_consumer(text, text[], bigint) is
  'Makes a consumer. tables: whose entries ledger.take() hands it, null for all; start_at: it gets what comes after this position, 0 for '
  'everything; by default what commits from now on. Raises 23505 where there is one of that name.';
grant execute on function ledger.add_consumer(text, text[], bigint) to rowhouse_owner;
set role rowhouse_owner;

--@ function ledger.remove_consumer(text)
set role rowhouse_dispatcher;
create function ledger.remove_consumer(consumer text)
returns void
language plpgsql
volatile
security definer -- as ledger.add_consumer()
set search_path = ''
parallel unsafe
as $$
begin
  delete from ledger.consumers as c where c.consumer = remove_consumer.consumer;
  if found then
    for slot in 0 .. 15 loop
      execute format('drop sequence %s', ledger.cursor(remove_consumer.consumer, slot));
    end loop;
  end if;
end
$$;
comment on function ledger.remove_consumer(text) is 'Ends a consumer and its cursors. Safe to repeat.';
grant execute on function ledger.remove_consumer(text) to rowhouse_owner;
set role rowhouse_owner;

--@ function ledger.set_marks(text, bigint[])
set role rowhouse_dispatcher;
create function ledger.set_marks(consumer text, marks bigint[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  update ledger.consumers as c
  set marks = set_marks.marks, marked_at = clock_timestamp(), marked_on = ledger.history(), marked_by = pg_current_xact_id()::xid
  where c.consumer = set_marks.consumer;
  -- Behind a savepoint a row has another transaction's number than that.
  update ledger.consumers as c set marked_by = c.xmin where c.consumer = set_marks.consumer and c.marked_by <> c.xmin;
end
$$;
comment on function ledger.set_marks(text, bigint[]) is 'Says that a consumer has been handed each slot''s entries up to here, in this database as it is now.';
set role rowhouse_owner;

--@ function ledger.cursors(text)
set role rowhouse_dispatcher;
create function ledger.cursors(consumer text)
returns bigint[]
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select array_agg(coalesce(pg_sequence_last_value(ledger.cursor(cursors.consumer, s.slot)), 0) order by s.slot) from generate_series(0, 15) as s (slot);
end;
comment on function ledger.cursors(text) is 'Where a consumer is, slot by slot.';
set role rowhouse_owner;

--@ function ledger.recognise_history()
set role rowhouse_dispatcher;
create function ledger.recognise_history()
returns table (consumer text, slots integer)
language plpgsql
volatile
security invoker
set search_path = ''
set lock_timeout = '30s'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  -- Those that were drawn after what was restored was saved are on their way to receivers, who would take what gets the same for a
  -- repetition. Positions have room for 35,000 such leaps (ledger.writer_key).
  leap constant bigint := 1000000000;
  drawn bigint;
  strange ledger.consumers;
begin
  if not exists (select from ledger.consumers as c where c.marked_on <> ledger.history() or c.marked_by <> c.xmin) then
    return;
  end if;
  perform from ledger.consumers as c order by c.consumer for update;
  -- A statement of its own: another worker may have done it while this one waited.
  if not exists (select from ledger.consumers as c where c.marked_on <> ledger.history() or c.marked_by <> c.xmin) then
    return;
  end if;
  select greatest((select last_value from ledger.positions), max(last_entry.position)) into drawn
  from generate_series(0, 15) as s (slot)
  cross join lateral (select e.position from ledger.entries as e where e.slot = s.slot order by e.position desc limit 1) as last_entry;
  perform setval('ledger.positions', drawn + leap);
  for strange in select c.* from ledger.consumers as c order by c.consumer loop
    for slot in 0 .. 15 loop
      -- Whoever hands entries over moves the cursor when done.
      perform pg_advisory_xact_lock(ledger.cursor_key(strange.consumer, slot));
      perform setval(ledger.cursor(strange.consumer, slot), least(strange.marks[slot + 1], drawn));
    end loop;
    perform ledger.set_marks(strange.consumer, ledger.cursors(strange.consumer));
    consumer := strange.consumer;
    slots := 16;
    return next;
  end loop;
end
$$;
comment on function ledger.recognise_history() is
  'Recognises a database that was restored from a dump (a row of ledger.consumers was written by another transaction than it says), or that '
  'runs on another server or timeline than it did: a failover, a recovery to a point in time. Then all cursors go to the marks, since a dump '
  'has those of a later moment than the rows, and positions leap, so that none is drawn again. Returns the consumers. Raises 55P03 where '
  'a slot is held for half a minute.';
set role rowhouse_owner;

--@ function ledger.keep_marks()
set role rowhouse_dispatcher;
create function ledger.keep_marks()
returns table (consumer text, finding text, slots integer)
language plpgsql
volatile
security definer -- the cursors are the dispatcher's: nobody else may move them
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_column
declare
  followed record;
  key bigint;
  reached bigint;
begin
  return query select r.consumer, 'restored', r.slots from ledger.recognise_history() as r;
  for followed in select c.consumer, c.marks from ledger.consumers as c order by c.consumer loop
    slots := 0;
    for slot in 0 .. 15 loop
      key := ledger.cursor_key(followed.consumer, slot);
      reached := pg_sequence_last_value(ledger.cursor(followed.consumer, slot));
      -- In this order: the cursor may have moved since, to what was drawn since.
      if reached > (select last_value from ledger.positions) and pg_try_advisory_xact_lock(key) then
        perform setval(ledger.cursor(followed.consumer, slot), least(followed.marks[slot + 1], (select last_value from ledger.positions)));
        slots := slots + 1;
      end if;
    end loop;
    if slots > 0 then
      consumer := followed.consumer;
      finding := 'ahead';
      return next;
    end if;
  end loop;
  -- A row for each minute: no cursor for each batch, which is why those are sequences.
  for followed in
    select c.consumer from ledger.consumers as c
    where c.marked_at < clock_timestamp() - '1 minute'::interval and c.marks <> ledger.cursors(c.consumer)
    for update skip locked
  loop
    perform ledger.set_marks(followed.consumer, ledger.cursors(followed.consumer));
  end loop;
end
$$;
comment on function ledger.keep_marks() is
  'To be called every few seconds: keeps in ledger.consumers where the cursors are, no more than once a minute, so that a dump has it as of '
  'the moment of its rows. What it mends it returns: restored (ledger.recognise_history()), and ahead, a cursor above the last position that was '
  'drawn, under which nothing would be handed over, set back to its mark; slots: how many.';
grant execute on function ledger.keep_marks() to rowhouse_worker, rowhouse_owner;
set role rowhouse_owner;

--@ data ledger.consumers
select ledger.add_consumer('jobs', '{app.jobs,app.files}', 0);

--@ function ledger.is_behind(text, bigint, smallint[])
set role rowhouse_dispatcher;
create function ledger.is_behind(consumer text, drawn bigint, among smallint[] default null)
returns boolean
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select exists (
    select from generate_series(0, 15) as s (slot)
    where coalesce(pg_sequence_last_value(ledger.cursor(is_behind.consumer, s.slot)), 0) < drawn
      and (among is null or s.slot = any (among)));
end;
comment on function ledger.is_behind(text, bigint, smallint[]) is
  'Whether a consumer has any slot, or any among those named, to follow up to a position.';
set role rowhouse_owner;

--@ function ledger.claim(text, integer, integer, smallint[])
set role rowhouse_dispatcher;
create function ledger.claim(consumer text, max_slots integer, max_entries integer, among smallint[] default null)
returns table (slot smallint, after_position bigint, upto_position bigint, more boolean)
language plpgsql
volatile
security invoker
set search_path = ''
-- Planning 16 partitions costs more than reading a batch of them. The generic plan guesses at the range, so it has to be kept to the index.
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  drawn bigint := (select last_value from ledger.positions);
  wanted text[] := (select c.tables from ledger.consumers as c where c.consumer = claim.consumer);
  -- What is not wanted costs a look alone: rounds cost more.
  read_entries constant integer := case when wanted is null then max_entries else 20 * max_entries end;
  free record;
  reached bigint;
  slots smallint[] := '{}';
  afters bigint[] := '{}';
  uptos bigint[] := '{}';
begin
  -- The sequence, the writers' locks and the entries have to be read in this order, each with a snapshot of its own.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = 'active_sql_transaction', message = 'ledger.claim() needs isolation level read committed';
  elsif not exists (select from ledger.consumers as c where c.consumer = claim.consumer) then
    raise exception using errcode = 'no_data_found', message = format('no consumer %s of the ledger', claim.consumer);
  elsif not ledger.is_behind(claim.consumer, drawn, among) then
    return; -- the usual look: it costs a third of one at the locks
  end if;
  for free in
    select s.slot, s.settled, s.holder from ledger.slots(claim.consumer, drawn) as s
    where s.holder is null or s.holder = pg_backend_pid()
    order by random() -- whoever takes a few slots at a time leaves none behind
  loop
    exit when cardinality(slots) = max_slots;
    continue when free.slot <> all (among);
    continue when coalesce(pg_sequence_last_value(ledger.cursor(claim.consumer, free.slot)), 0) >= free.settled;
    -- The session's, since the cursor moves after the commit. Held already: an earlier claim of this session was not settled.
    continue when free.holder is null and not pg_try_advisory_lock(ledger.cursor_key(claim.consumer, free.slot));
    reached := coalesce(pg_sequence_last_value(ledger.cursor(claim.consumer, free.slot)), 0);
    if reached >= free.settled then
      perform pg_advisory_unlock(ledger.cursor_key(claim.consumer, free.slot));
      continue;
    end if;
    slots := slots || free.slot;
    afters := afters || reached;
    uptos := uptos || free.settled;
  end loop;
  if cardinality(slots) = 0 then
    return;
  end if;
  return query
    select c.slot, c.after_position, coalesce(last_of_batch.position, c.settled), coalesce(last_of_batch.position < c.settled, false)
    from unnest(slots, afters, uptos) as c (slot, after_position, settled)
    left join lateral (
      select coalesce((array_agg(e.position) filter (where e.is_wanted))[max_entries],
        case when count(*) = read_entries then max(e.position) end)
      from (
        select e.position, wanted is null or e.table_name = any (wanted) from ledger.entries as e
        where e.slot = c.slot and e.position > c.after_position and e.position <= c.settled
        order by e.position
        limit read_entries) as e (position, is_wanted)) as last_of_batch (position) on true;
end
$$;
comment on function ledger.claim(text, integer, integer, smallint[]) is
  'Takes up to max_slots free slots of a consumer (among those named, if any are), as locks of the session. To be handed over are the entries of each with '
  'after_position < position <= upto_position, at most max_entries of the consumer''s tables; `more` are left. Read them in a later statement: one that calls this function has a '
  'snapshot from before it. Then commit, and advance(): a crash in between hands the same entries over again.';
set role rowhouse_owner;

--@ function ledger.take(text, integer, integer)
set role rowhouse_dispatcher;
create function ledger.take(consumer text, max_slots integer, max_entries integer)
returns table (slot smallint, upto_position bigint, "position" bigint, tenant_id text, tier text, table_name text, operation text,
  row_id text, trace_id text, old jsonb, new jsonb)
language plpgsql
volatile
security definer -- the dispatcher reads every tenant's entries; its caller reads none
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  wanted text[] := (select c.tables from ledger.consumers as c where c.consumer = take.consumer);
  slots smallint[];
  afters bigint[];
  uptos bigint[];
begin
  select array_agg(c.slot), array_agg(c.after_position), array_agg(c.upto_position) into slots, afters, uptos
  from ledger.claim(take.consumer, max_slots, max_entries) as c;
  if slots is null then
    return;
  end if;
  return query
    select c.slot, c.upto_position, e.position, e.tenant_id::text, t.tier, e.table_name, e.operation, e.row_id, e.trace_id, e.old, e.new
    from unnest(slots, afters, uptos) as c (slot, after_position, upto_position)
    left join ledger.entries as e on e.slot = c.slot and e.position > c.after_position and e.position <= c.upto_position
      and (wanted is null or e.table_name = any (wanted))
    left join tenancy.tenants as t on t.id = e.tenant_id
    order by c.slot, e.position;
end
$$;
comment on function ledger.take(text, integer, integer) is
  'ledger.claim(), and the entries of the consumer''s tables: at most max_entries of each slot, in order. A slot that has none is one '
  'row without a position. Hand them over, commit, then advance() each slot to its upto_position.';
grant execute on function ledger.take(text, integer, integer) to rowhouse_worker;
set role rowhouse_owner;

--@ function ledger.advance(text, smallint[], bigint[])
set role rowhouse_dispatcher;
create function ledger.advance(consumer text, slots smallint[], positions bigint[])
returns void
language plpgsql
volatile
security definer -- the cursors are the dispatcher's: nobody else may move them
set search_path = ''
parallel unsafe
as $$
declare
  drawn bigint := (select last_value from ledger.positions);
  moved record;
  key bigint;
begin
  for moved in select m.slot, m.position from unnest(slots, positions) as m (slot, position) loop
    key := ledger.cursor_key(advance.consumer, moved.slot);
    -- Counted: given twice to who holds it, and to nobody while another does.
    if pg_try_advisory_lock(key) then
      perform pg_advisory_unlock(key);
      if moved.position between coalesce(pg_sequence_last_value(ledger.cursor(advance.consumer, moved.slot)), 0) and drawn then
        perform setval(ledger.cursor(advance.consumer, moved.slot), moved.position);
      end if;
    end if;
    if not pg_advisory_unlock(key) then
      raise exception using errcode = 'lock_not_available',
        message = format('slot %s of %s is not this session''s', moved.slot, advance.consumer);
    end if;
  end loop;
end
$$;
comment on function ledger.advance(text, smallint[], bigint[]) is
  'After the commit of what claim() or take() returned, in the same session: moves the cursors there and frees the slots. No rollback '
  'takes it back: never call it in the transaction that hands over.';
grant execute on function ledger.advance(text, smallint[], bigint[]) to rowhouse_worker;
set role rowhouse_owner;

--@ function ledger.release(text)
set role rowhouse_dispatcher;
create function ledger.release(consumer text)
returns void
language sql
volatile
security definer -- as ledger.advance()
set search_path = ''
parallel unsafe
begin atomic
  select pg_advisory_unlock(ledger.cursor_key(release.consumer, s.slot))
  from ledger.slots(release.consumer, 0) as s where s.holder = pg_backend_pid();
end;
comment on function ledger.release(text) is 'Gives the session''s slots of a consumer back, with their cursors where they are: what was taken is taken again.';
grant execute on function ledger.release(text) to rowhouse_worker;
set role rowhouse_owner;

--@ function ledger.doze(text, smallint[])
set role rowhouse_dispatcher;
create function ledger.doze(consumer text, among smallint[] default null)
returns boolean
language plpgsql
volatile
security definer -- the sequences are the dispatcher's to read
set search_path = ''
parallel unsafe
as $$
declare
  drawn bigint;
begin
  perform pg_advisory_lock_shared(ledger.sleeper_key());
  -- A writer that found no sleeper took its writer's lock before it looked: it is still seen here, or its entry is.
  drawn := (select last_value from ledger.positions);
  if ledger.is_behind(doze.consumer, drawn, among) then
    perform pg_advisory_unlock_shared(ledger.sleeper_key());
    return false;
  end if;
  return true;
end
$$;
comment on function ledger.doze(text, smallint[]) is
  'True: nothing is pending (in the slots named, if any are), and this session is woken by NOTIFY ledger_wake when something is; listen first, call rouse() after. '
  'False: there is work to take.';
grant execute on function ledger.doze(text, smallint[]) to rowhouse_worker;
set role rowhouse_owner;

--@ function ledger.prepared_writer(smallint)
set role rowhouse_dispatcher;
create function ledger.prepared_writer(of_slot smallint)
returns text
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select p.gid
  from pg_catalog.pg_locks as written
  -- Its locks have the transaction in common; the number that pg_prepared_xacts knows is that of one of them.
  join pg_catalog.pg_locks as own on own.virtualtransaction = written.virtualtransaction and own.locktype = 'transactionid' and own.pid is null
  join pg_catalog.pg_prepared_xacts as p on p.transaction = own.transactionid
  where written.locktype = 'advisory' and written.objsubid = 1 and written.pid is null and p.database = current_database()
    and (written.classid::bigint >> 8) = (21071::bigint << 8 | of_slot)
  order by written.classid::bigint << 32 | written.objid::bigint
  limit 1;
end;
comment on function ledger.prepared_writer(smallint) is 'The id of the oldest prepared transaction that has written to a slot.';
set role rowhouse_owner;

--@ function ledger.lag()
set role rowhouse_dispatcher;
create function ledger.lag()
returns table (consumer text, slot smallint, "position" bigint, entries_behind bigint, seconds_behind numeric, held_back_by integer, prepared text,
  handed_by integer)
language plpgsql
volatile
security definer -- counts entries of every tenant, and says nothing else of them
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  drawn bigint := (select last_value from ledger.positions);
begin
  return query
    select c.consumer, s.slot, reached.position, waiting.entries, round(extract(epoch from clock_timestamp() - waiting.since), 3),
      case when s.settled < drawn then s.writer end, case when s.settled < drawn and s.writer is null then ledger.prepared_writer(s.slot) end, s.holder
    from ledger.consumers as c
    cross join lateral ledger.slots(c.consumer, drawn) as s
    cross join lateral (select coalesce(pg_sequence_last_value(ledger.cursor(c.consumer, s.slot)), 0) as position) as reached
    -- Above what was drawn: it will be set back (ledger.keep_marks).
    cross join lateral (
      select case when reached.position > (select last_value from ledger.positions) then c.marks[s.slot + 1] else reached.position end as position) as known
    cross join lateral (
      select count(*) as entries, (
        select e.occurred_at from ledger.entries as e
        where e.slot = s.slot and e.position > known.position order by e.position limit 1) as since
      from (
        select from ledger.entries as e
        where e.slot = s.slot and e.position > known.position order by e.position limit 100000) as counted
    ) as waiting
    order by c.consumer, s.slot;
end
$$;
comment on function ledger.lag() is
  'How far each consumer is behind, slot by slot: entries that have committed and are not handed over (counted up to 100,000), the age of '
  'the first of them, the process whose unfinished transaction holds the slot back, or the id of a prepared transaction that does (it has no process, '
  'and ends by COMMIT PREPARED or ROLLBACK PREPARED alone), and the process that hands entries over right now.';
grant execute on function ledger.lag() to rowhouse_worker, rowhouse_owner;
set role rowhouse_owner;

--@ function ledger.rewind(text, bigint)
set role rowhouse_dispatcher;
create function ledger.rewind(consumer text, to_position bigint)
returns integer
language plpgsql
volatile
security definer -- the cursors are the dispatcher's: nobody else may move them
set search_path = ''
set lock_timeout = '30s'
parallel unsafe
as $$
declare
  moved integer := 0;
  key bigint;
begin
  if not exists (select from ledger.consumers as c where c.consumer = rewind.consumer) then
    raise exception using errcode = 'no_data_found', message = format('no consumer %s of the ledger', rewind.consumer);
  end if;
  -- Before the row is written, which says what it says of this database.
  perform ledger.recognise_history();
  perform ledger.set_marks(rewind.consumer, array(
    select least(m.mark, greatest(to_position, 0)) from ledger.consumers as c, unnest(c.marks) with ordinality as m (mark, nth)
    where c.consumer = rewind.consumer order by m.nth));
  for slot in 0 .. 15 loop
    key := ledger.cursor_key(rewind.consumer, slot);
    perform pg_advisory_lock(key); -- whoever hands entries over moves the cursor when done: wait for that
    if pg_sequence_last_value(ledger.cursor(rewind.consumer, slot)) > to_position then
      perform setval(ledger.cursor(rewind.consumer, slot), greatest(to_position, 0));
      moved := moved + 1;
    end if;
    perform pg_advisory_unlock(key);
  end loop;
  return moved;
end
$$;
comment on function ledger.rewind(text, bigint) is
  'Hands a consumer everything after a position again: how many of its 16 slots were moved back. What it was handed before it must '
  'recognise, as after a crash. Raises 55P03 where a slot is held for half a minute.';
grant execute on function ledger.rewind(text, bigint) to rowhouse_owner;
set role rowhouse_owner;

--@ function ledger.stream_window(bigint, bigint, integer)
set role rowhouse_dispatcher;
create function ledger.stream_window(after bigint, known bigint, max_entries integer)
returns table (through bigint, is_full boolean, has_more boolean)
language plpgsql
volatile
security definer -- reads the writers' locks and the sequence, which say nothing to a member; of entries, where the sealed tenant's are
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- planning 16 partitions costs more than reading one
parallel unsafe
as $$
declare
  own_tenant text := request.tenant_id();
  -- The sequence, the writers' locks and the entries have to be read in this order, each with a snapshot of its own.
  drawn bigint := (select last_value from ledger.positions);
  settled bigint := ledger.settled_position(ledger.slot(own_tenant), drawn);
begin
  -- Writers' locks are rounded down: what was settled once is settled, even if a later writer's lock is below it. Unless it has not been
  -- drawn: then it was known of a ledger that went on further before this one was restored.
  settled := greatest(settled, least(greatest(known, after), drawn));
  select e.position into through
  from ledger.entries as e
  where e.tenant_id = own_tenant and e.position > after and e.position <= settled and max_entries is not null
  order by e.position
  offset max_entries - 1 limit 1;
  is_full := found;
  through := coalesce(through, settled);
  has_more := exists (select from ledger.entries as e where e.tenant_id = own_tenant and e.position > stream_window.through);
  return next;
end
$$;
comment on function ledger.stream_window(bigint, bigint, integer) is
  'Up to where a stream of the sealed tenant may be given entries behind `after`: not past a writer that has not ended (see '
  'ledger.announce), and no more than max_entries of them (then is_full), if that is given. known: what an earlier call returned as `through`. '
  'Below `after` where so much has never been drawn. '
  'has_more: there are committed entries behind.';
grant execute on function ledger.stream_window(bigint, bigint, integer) to rowhouse_edge;
set role rowhouse_owner;

--@ function ledger.has_entry(bigint)
set role rowhouse_dispatcher;
create function ledger.has_entry(of_position bigint)
returns boolean
language plpgsql
stable
security definer -- members have no grant on entries: they contain columns that no view shows
set search_path = ''
parallel safe
as $$
declare
  own_tenant text := request.tenant_id();
begin
  return exists (select from ledger.entries as e where e.tenant_id = own_tenant and e.position = of_position);
end
$$;
comment on function ledger.has_entry(bigint) is 'Whether the sealed tenant''s ledger has an entry of this position.';
grant execute on function ledger.has_entry(bigint) to rowhouse_edge;
set role rowhouse_owner;

--@ function ledger.require_entry(bigint)
create function ledger.require_entry(of_position bigint)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  if not ledger.has_entry(of_position) then
    perform request.raise_error('event_unknown', 'the ledger has no such event, or keeps it no longer',
      'read what you have missed from v1.events, and open the stream without Last-Event-ID');
  end if;
end
$$;
comment on function ledger.require_entry(bigint) is 'Raises event_unknown where ledger.has_entry() says no.';
grant execute on function ledger.require_entry(bigint) to rowhouse_edge;

--@ function ledger.enter_stream(text)
create function ledger.enter_stream(token text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  perform auth.enter(token);
  if request.role() is distinct from 'tenant_user' then
    perform request.raise_error('token_invalid', 'the role of the token is not a member''s');
  end if;
end
$$;
comment on function ledger.enter_stream(text) is 'Seals this transaction for a member''s token. Raises what auth.enter() raises.';
grant execute on function ledger.enter_stream(text) to rowhouse_edge;

--@ function ledger.open_stream(text, bigint, bigint)
create function ledger.open_stream(token text, last_event bigint, known bigint)
returns table (tenant_role text, "position" bigint, mark bigint, passed bigint[])
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
parallel unsafe
as $$
#variable_conflict use_column
declare
  settled bigint;
begin
  perform ledger.enter_stream(token);
  settled := (select w.through from ledger.stream_window(0, known, null) as w);
  if last_event > 0 then
    perform ledger.require_entry(last_event);
  end if;
  set local role tenant_user;
  return query
    select request.tenant_role(),
      -- One that was read elsewhere may be ahead of a writer that has not ended.
      least(last_event, settled),
      coalesce(last_event, (select e.position from v1.events as e where e.position <= settled order by e.position desc limit 1)),
      case when last_event is null then
        array(select e.position from v1.events as e where e.position > settled order by e.position limit 1000) end;
end
$$;
comment on function ledger.open_stream(text, bigint, bigint) is
  'Where a stream begins: behind last_event, with 0 behind nothing, with null now: whatever commits after this call is behind it, and so is '
  'what has just been committed and may follow a writer that has not ended: passed. known: as in ledger.stream_window(). mark: the last '
  'event up to there that the member sees. Raises what auth.enter() raises, event_unknown.';
grant execute on function ledger.open_stream(text, bigint, bigint) to rowhouse_edge;

--@ function ledger.read_streams(jsonb, integer)
create function ledger.read_streams(requests jsonb, max_bytes integer)
returns table (nth integer, "position" bigint, type text, subject text, event text, tenant_role text, is_full boolean, has_more boolean, mark bigint, refusal jsonb)
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
parallel unsafe
as $$
#variable_conflict use_column
declare
  asked record;
  stretch record;
  found_event record;
  bytes integer;
begin
  for asked in
    select wanted.*, number from jsonb_array_elements(requests) with ordinality as listed (body, number)
    cross join lateral jsonb_to_record(body) as wanted (token text, after bigint, settled bigint, seen bigint, entries integer, types text[], about text)
  loop
    begin
      bytes := 0;
      mark := null;
      perform ledger.enter_stream(asked.token);
      if asked.seen > 0 then
        perform ledger.require_entry(asked.seen);
      end if;
      select * into stretch from ledger.stream_window(asked.after, asked.settled, asked.entries);
      set local role tenant_user;
      nth := asked.number;
      tenant_role := request.tenant_role();
      refusal := null;
      for found_event in
        select e.position, e.type, e.subject, e.event::text as body
        from v1.events as e
        where e.position > asked.after and e.position <= stretch.through
          and (asked.types is null or e.type like any (asked.types)) and (asked.about is null or e.subject = asked.about)
        order by e.position
      loop
        if bytes > 0 and bytes + octet_length(found_event.body) > max_bytes then
          stretch.through := mark;
          stretch.is_full := true;
          stretch.has_more := true;
          exit;
        end if;
        bytes := bytes + octet_length(found_event.body);
        position := found_event.position;
        mark := position;
        type := found_event.type;
        subject := found_event.subject;
        event := found_event.body;
        return next;
      end loop;
      position := stretch.through;
      type := null;
      subject := null;
      event := null;
      if asked.types is not null or asked.about is not null then
        mark := (
          select e.position from v1.events as e where e.position > asked.after and e.position <= stretch.through
          order by e.position desc limit 1);
      end if;
      is_full := stretch.is_full;
      has_more := stretch.has_more;
      return next;
      -- Leaves this context, so that the next one can be entered: what was returned stays.
      raise sqlstate 'RHEND';
    exception
      when sqlstate 'RHEND' then
        null;
      when sqlstate 'PGRST' then
        nth := asked.number;
        position := null;
        type := null;
        tenant_role := null;
        is_full := null;
        has_more := null;
        mark := null;
        refusal := sqlerrm::jsonb;
        return next;
    end;
  end loop;
end
$$;
comment on function ledger.read_streams(jsonb, integer) is
  'What members see of their tenants'' events, each in a session sealed with a token of their own. requests: an array of {token, after, '
  'settled, seen, entries, types, about}: events among so many entries behind `after`; settled: `position` of an earlier answer''s last row; '
  'seen: an event without which the answer is event_unknown, null where none is needed; '
  'types: patterns of LIKE, about: a subject, null for all. For each request its events, in order, then a row without a type: `position` is up to where they are '
  'complete, mark the last event up to there that the member sees, is_full that `entries` or max_bytes ended them, has_more that there are entries behind; or the refusal of the gate.';
grant execute on function ledger.read_streams(jsonb, integer) to rowhouse_edge;

--@ function ledger.review_tokens(text[])
create function ledger.review_tokens(tokens text[])
returns table (nth integer, tenant_role text, refusal jsonb)
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  token text;
begin
  nth := 0;
  foreach token in array tokens loop
    nth := nth + 1;
    begin
      refusal := null;
      perform ledger.enter_stream(token);
      tenant_role := request.tenant_role();
      raise sqlstate 'RHEND';
    exception
      when sqlstate 'RHEND' then
        null;
      when sqlstate 'PGRST' then
        tenant_role := null;
        refusal := sqlerrm::jsonb;
    end;
    return next;
  end loop;
end
$$;
comment on function ledger.review_tokens(text[]) is 'What the gate says of each token now: the member''s role, or why it refuses.';
grant execute on function ledger.review_tokens(text[]) to rowhouse_edge;

--@ grants ledger.stream
grant usage on schema request, auth to rowhouse_dispatcher;
grant execute on function ledger.slot(text), request.tenant_id(), request.seal(), request.tenant_required(), request.raise_error(text, text, text)
  to rowhouse_dispatcher;
set role rowhouse_sealer;
grant execute on function auth.verified_seal() to rowhouse_dispatcher;
set role rowhouse_owner;

--@ function app.cron_values(text, integer, integer, text[])
create function app.cron_values(field text, lowest integer, highest integer, names text[])
returns integer[]
language plpgsql
immutable
security invoker
set search_path = ''
parallel safe
as $$
declare
  item text;
  parts text[];
  bounds integer[];
  found_values integer[] := '{}';
begin
  foreach item in array string_to_array(lower(field), ',') loop
    parts := regexp_match(item, '^(?:(\*)|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([1-9][0-9]?))?$');
    if parts is null or parts[4] is not null and parts[1] is null and parts[3] is null then
      return null;
    end if;
    bounds := case when parts[1] = '*' then array[lowest, highest] else array(
      select case when word ~ '^[0-9]' then word::integer else lowest + array_position(names, word) - 1 end
      from unnest(array[parts[2], coalesce(parts[3], parts[2])]) with ordinality as words (word, nth) order by nth) end;
    if not coalesce(bounds[1] between lowest and bounds[2] and bounds[2] <= highest, false) then
      return null;
    end if;
    found_values := found_values || array(select generate_series(bounds[1], bounds[2], coalesce(parts[4], '1')::integer));
  end loop;
  -- The library refuses a value that is there twice.
  return case when found_values <> '{}' and cardinality(found_values) = (select count(distinct value) from unnest(found_values) as value) then found_values end;
end
$$;
comment on function app.cron_values(text, integer, integer, text[]) is
  'The values of one field of a cron expression: *, a, a-b, */n, a-b/n, names, lists of these. Null where it is none. '
  'names: of the values from the lowest on.';

--@ function app.cron_problem(text)
create function app.cron_problem(expression text)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
parallel safe
as $$
declare
  fields text[] := regexp_split_to_array(expression, ' +');
  months constant text[] := '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}';
  problem text;
begin
  if expression in ('@hourly', '@daily', '@weekly', '@monthly', '@yearly') then
    return null;
  elsif length(expression) > 256 or cardinality(fields) <> 5 then
    return 'it has five fields, minute, hour, day of month, month, day of week, or is @hourly, @daily, @weekly, @monthly or @yearly';
  end if;
  select format('the %s is not one: %s', field_name, fields[nth]) into problem
  from unnest('{minute,hour,day of month,month,day of week}'::text[], '{0,0,1,1,0}'::integer[], '{59,23,31,12,7}'::integer[])
    with ordinality as field (field_name, lowest, highest, nth)
  where app.cron_values(fields[nth], lowest, highest,
    case nth when 4 then months when 5 then '{sun,mon,tue,wed,thu,fri,sat}'::text[] end) is null
  order by nth limit 1;
  if problem is null and not exists (
    select from unnest(app.cron_values(fields[4], 1, 12, months)) as month
    where (select min(day) from unnest(app.cron_values(fields[3], 1, 31, null)) as day)
      <= case when month = 2 then 29 when month in (4, 6, 9, 11) then 30 else 31 end) then
    problem := format('no month %s has a day %s', fields[4], fields[3]);
  end if;
  return problem;
end
$$;
comment on function app.cron_problem(text) is 'Why this is no cron expression; null where it is one.';

--@ function app.is_time_zone(text)
create function app.is_time_zone(zone text)
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
  problem text := case when inserted or new.cron <> old.cron then app.cron_problem(new.cron) end;
begin
  if problem is not null then
    perform request.raise_error('job_schedule_invalid', 'cron: ' || problem, 'for example 30 2 * * mon-fri');
  elsif (inserted or new.time_zone <> old.time_zone) and not app.is_time_zone(new.time_zone) then
    perform request.raise_error('job_schedule_invalid', 'time_zone: no zone is called ' || new.time_zone, 'for example Europe/Berlin');
  elsif (inserted or new.type <> old.type) and not exists (select from tenancy.job_types where type = new.type) then
    perform request.raise_error('job_type_unknown', format('no worker handles %s', new.type), 'the types are listed in docs/jobs.md');
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

--@ table app.jobs
alter table app.jobs
  add column schedule_id uuid,
  add column due_at timestamptz,
  add column traceparent text collate "C",
  add constraint jobs_one_for_each_due_time unique (tenant_id, schedule_id, due_at),
  add constraint jobs_due_at_of_a_schedule check (schedule_id is null or due_at is not null),
  add constraint jobs_progress_bounded check (octet_length(progress::text) <= 8192),
  add constraint jobs_error_bounded check (octet_length(error::text) <= 16384),
  add constraint jobs_traceparent_form check (traceparent ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$');
alter table app.jobs alter column traceparent set default request.traceparent();
comment on column app.jobs.schedule_id is 'The schedule that submitted it, which may be gone.';
comment on column app.jobs.due_at is 'For which time of its schedule.';
comment on column app.jobs.traceparent is 'The trace of the request that submitted it (W3C Trace Context), which its ledger entries carry on.';
select tenancy.expose('app.jobs', '{delete}', '{id,created_by}');
grant insert (type, idempotency_key, input) on app.jobs to tenant_user;
grant insert (type, idempotency_key, input) on v1.jobs to tenant_user;
grant insert (type, input, schedule_id, due_at), update (max_attempts) on app.jobs to rowhouse_worker;
-- What clients read in v1 already makes events from now on, tables that were added here included.
do $c$
declare
  followed record;
begin
  for followed in
    select c.oid::regclass as target, v.oid::regclass as api_view
    from pg_catalog.pg_trigger as t
    join pg_catalog.pg_class as c on c.oid = t.tgrelid
    join pg_catalog.pg_class as v on v.relname = c.relname and v.relkind = 'v' and v.relnamespace = 'v1'::regnamespace
    where t.tgname = 'ledger_insert' and t.tgparentid = 0 and c.oid::regclass::text not in ('auth.api_keys', 'tenancy.tenants')
  loop
    begin
      perform ledger.add_event_source(followed.target, followed.api_view);
    exception
      when invalid_table_definition then
        raise warning '% makes no events: %', followed.target, sqlerrm using hint = 'say who may see them: ledger.add_event_source(…, read_role => …)';
    end;
  end loop;
end
$c$;
-- Its body lists the table's columns: as it is in the book, made anew.
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
set role rowhouse_dispatcher;
select setval(ledger.cursor('jobs', slot::integer), reached::bigint)
from jsonb_each_text(coalesce(nullif(current_setting('rowhouse.kept_cursors', true), ''), '{}')::jsonb) as kept (slot, reached) where reached::bigint > 0;
set role rowhouse_owner;
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
      perform request.raise_error('job_type_unknown', format('no worker handles %s', new.type), 'the types are listed in docs/jobs.md');
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

--@ trigger guard_job on app.jobs
create or replace trigger guard_job before insert or update of status, result on app.jobs
  for each row execute function app.guard_job();

--@ function app.redrive_job(uuid, timestamptz)
create function app.redrive_job(job_id uuid, submission timestamptz)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  update app.jobs as j set
    status = 'queued', queued_at = clock_timestamp(), started_at = null, finished_at = null, error = null,
    max_attempts = j.attempts + coalesce((select t.max_attempts from tenancy.job_types as t where t.type = j.type), 3)
  where j.tenant_id = request.tenant_id() and j.id = job_id and j.queued_at = submission and j.status = 'failed';
  return found;
end
$$;
comment on function app.redrive_job(uuid, timestamptz) is
  'Queues the failed job of a dead letter again. False: the letter is outdated, the job was submitted again, moved or deleted since.';

--@ grants app.job_runs
grant execute on function
  app.require_lease(uuid, integer),
  app.start_job(uuid),
  app.report_progress(uuid, integer, jsonb),
  app.record_findings(uuid, integer, jsonb),
  app.create_output_file(uuid, integer, text, text, text),
  app.finish_job(uuid, integer, text, jsonb, jsonb),
  app.requeue_job(uuid, integer, jsonb),
  app.abandon_job(uuid, jsonb),
  app.redrive_job(uuid, timestamptz)
  to rowhouse_worker;

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

--@ function app.run_schedule(uuid, timestamptz, timestamptz, timestamptz)
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

--@ function app.fail_schedule(uuid, timestamptz, timestamptz, jsonb)
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

--@ data v1.tenant
select ledger.add_event_source('tenancy.tenants', 'v1.tenant', 'viewer', '{id,slug,name,tier,region,status,created_at,updated_at}');

--@ data v1.api_keys
select ledger.add_event_source('auth.api_keys', 'v1.api_keys', 'admin');

--@ function app.move_job(uuid, text, text[])
create or replace function app.move_job(job_id uuid, new_status text, from_statuses text[])
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

--@ function v1.retry_job(uuid)
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

--@ view v1.events
create view v1.events with (security_invoker = true) as
  select tenant_id, "position", type, subject, "time", actor, event from ledger.events;
comment on view v1.events is $$Events

What happened to the tenant's data, and what was emitted, as CloudEvents 1.0. Page with order=position.desc and position=lt.<the last one>; filter by
type and subject. To begin at a time, ask event_position where that is. An event is seen by who may read what it is about.$$;
comment on column v1.events."position" is 'The order of the tenant''s events. The id of the event is evt_ and this.';
comment on column v1.events.type is 'Such as app.jobs.updated: one of event_types, or what was emitted.';
comment on column v1.events.subject is 'The id of the row; what emit_event was told.';
comment on column v1.events.actor is 'The subject of the token that did it: a user, key:<id>, worker:<job id>.';
comment on column v1.events.event is 'The CloudEvent. Its data: old and new, the row before and after, and changed, the names of the columns that differ.';
grant select on v1.events to tenant_user;

--@ function v1.event_position(timestamptz)
create function v1.event_position(at timestamptz)
returns bigint
language sql
stable
security invoker
parallel safe
return ledger.position_at(at);
comment on function v1.event_position(timestamptz) is $$Where events of a time begin

The position of the first event at or after it: then page with position=gte.<that>. Null where there is none yet.$$;
grant execute on function v1.event_position(timestamptz) to tenant_user;

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
comment on column v1.event_types.version is 'The last part of the event''s dataschema. It rises when a column is taken away or changes its type, not when one is added.';
comment on column v1.event_types.schema is 'JSON Schema (draft 2020-12) of the event''s data.';
grant select on v1.event_types to tenant_user;

--@ function v1.emit_event(text, text, jsonb)
create function v1.emit_event(type text, subject text default null, data jsonb default null)
returns json
language plpgsql
volatile
security definer -- clients may not write the ledger themselves
set search_path = ''
parallel unsafe
as $$
declare
  emitted bigint;
begin
  if not request.has_tenant_role('member') then
    perform request.raise_error('role_insufficient', 'a viewer emits no events', 'ask an admin of the tenant for the role member');
  end if;
  emitted := ledger.emit_event(type, subject, data);
  return json_build_object('id', 'evt_' || emitted, 'position', emitted);
end
$$;
comment on function v1.emit_event(text, text, jsonb) is $$Emit an event

Of a type of your own: words of a-z, A-Z, 0-9 and _ with dots between them, such as order.paid. It reaches webhooks and streams like any other, once, in the
tenant's order. subject: what it is about; data: any JSON of up to 64 KiB.$$;
grant execute on function v1.emit_event(text, text, jsonb) to tenant_user;

--@ function webhook.like_patterns(text[])
create function webhook.like_patterns(event_types text[])
returns text[]
language sql
immutable
security invoker
parallel safe
return array(select replace(replace(pattern, '_', '\_'), '*', '%') from unnest(event_types) as pattern);
comment on function webhook.like_patterns(text[]) is 'Event types with `*` for any characters, as patterns of LIKE.';
grant execute on function webhook.like_patterns(text[]) to tenant_user, rowhouse_dispatcher;

--@ table webhook.endpoints
create table webhook.endpoints (
  tenant_id tenancy.tenant_id not null,
  id uuid not null default uuidv7(),
  url text not null,
  event_types text[] not null default '{*}',
  type_patterns text[] not null generated always as (webhook.like_patterns(event_types)) stored,
  ordering text collate "C" not null default 'none',
  rate integer,
  headers jsonb not null default '{}',
  projection text[],
  signing text[] not null default '{v1}',
  timeout_ms integer not null default 15000,
  enabled boolean not null default true,
  description text not null default '',
  disabled_reason text collate "C",
  disabled_at timestamptz,
  revision bigint not null default 1,
  created_by text default request.subject(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint endpoints_pkey primary key (tenant_id, id),
  constraint endpoints_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
  constraint endpoints_url_form check (
    url ~ '^https?://([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][!-~]*)?$' and url !~ '#' and length(url) <= 2048),
  constraint endpoints_event_types_form check (
    cardinality(event_types) between 1 and 100
    and array_to_string(event_types, ',', '?') ~ '^[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*(,[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*)*$'
    and length(array_to_string(event_types, ',', '?')) <= 10000),
  constraint endpoints_ordering_known check (ordering in ('none', 'endpoint', 'subject')),
  constraint endpoints_rate_range check (rate between 1 and 10000),
  constraint endpoints_headers_form check (jsonb_typeof(headers) = 'object'),
  constraint endpoints_projection_form check (
    cardinality(projection) between 0 and 100
    and array_to_string(projection, ',', '?') ~ '^([A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?(,[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?)*)?$'),
  constraint endpoints_signing_known check (signing <@ '{v1,v1a}' and cardinality(signing) between 1 and 2),
  constraint endpoints_timeout_range check (timeout_ms between 1000 and 30000),
  constraint endpoints_description_length check (length(description) <= 1000),
  constraint endpoints_disabled_says_why check (enabled = (disabled_reason is null) and enabled = (disabled_at is null))
) partition by hash (tenant_id);
comment on table webhook.endpoints is $$Webhook endpoints

Where the tenant's events are sent. For admins and owners. Make one with create_webhook_endpoint, which shows its secret once.$$;
comment on column webhook.endpoints.url is $$https, without credentials or a fragment. Private and local addresses are refused when it is connected to.
@sample "https://hooks.invalid/prove"$$;
comment on column webhook.endpoints.event_types is $$Types of events; * stands for any characters.
@sample ["app.jobs.*"]$$;
comment on column webhook.endpoints.ordering is
  'none: as soon as possible; subject: the events of one subject strictly one after the other; endpoint: all of them.';
comment on column webhook.endpoints.rate is 'Deliveries a second at the most; no limit of its own where null.';
comment on column webhook.endpoints.headers is
  'Sent with each delivery. Values are stored encrypted and shown as null; a null that is sent back leaves the value as it is.';
comment on column webhook.endpoints.projection is $$Which parts of an event's data are sent; all where null.
@sample ["changed", "new.status"]$$;
comment on column webhook.endpoints.signing is $$v1: HMAC-SHA256 with the shared secret; v1a: ed25519, verified with public_keys.
@sample ["v1"]$$;
comment on column webhook.endpoints.timeout_ms is 'How long the receiver may take for its answer.';
comment on column webhook.endpoints.enabled is '@sample false';
comment on column webhook.endpoints.disabled_at is '@sample "2999-01-01T00:00:00Z"';
comment on column webhook.endpoints.disabled_reason is
  'by_request; gone: it answered 410; failing: nothing but failures for days. Set enabled to true to send again, what was held included.';
select tenancy.protect('webhook.endpoints', partitions => 8, read_role => 'admin', write_role => 'admin', client_verbs => '{}');

--@ policy "The webhook functions keep the sealed tenant's endpoints" on webhook.endpoints
create policy "The webhook functions keep the sealed tenant's endpoints" on webhook.endpoints
  for all to rowhouse_owner
  using (tenant_id = request.tenant_id()) with check (tenant_id = request.tenant_id());

--@ policy "The dispatcher works for every tenant" on webhook.endpoints
create policy "The dispatcher works for every tenant" on webhook.endpoints
  for all to rowhouse_dispatcher using (true) with check (true);
grant select, update (enabled, disabled_reason, disabled_at) on webhook.endpoints to rowhouse_dispatcher;

--@ table webhook.endpoint_states
create table webhook.endpoint_states (
  tenant_id tenancy.tenant_id not null,
  endpoint_id uuid not null,
  watermark bigint not null default 0,
  generation bigint not null default 1,
  circuit text collate "C" not null default 'closed',
  opened integer not null default 0,
  paused_until timestamptz,
  failing_since timestamptz,
  failures bigint not null default 0,
  last_error text,
  constraint endpoint_states_pkey primary key (tenant_id, endpoint_id),
  constraint endpoint_states_endpoint_fkey foreign key (tenant_id, endpoint_id)
    references webhook.endpoints (tenant_id, id) on delete cascade,
  constraint endpoint_states_circuit_known check (circuit in ('closed', 'open', 'half_open'))
) partition by hash (tenant_id);
comment on table webhook.endpoint_states is
  'What workers keep of an endpoint beyond their leases. Written once a second at the most: a held snapshot must not bloat it.';
comment on column webhook.endpoint_states.watermark is 'No delivery up to here waits for its first attempt.';
comment on column webhook.endpoint_states.generation is 'Counts how often the watermark was lowered, so that a worker does not raise it again.';
comment on column webhook.endpoint_states.opened is 'How often the circuit has opened since the last success.';
comment on column webhook.endpoint_states.failing_since is 'When the first attempt failed since the last one that succeeded.';
comment on column webhook.endpoint_states.failures is 'Attempts that have failed since then.';
select tenancy.protect('webhook.endpoint_states', partitions => 8, ledger => false, read_role => 'admin', write_role => 'owner', client_verbs => '{}');
grant select on webhook.endpoint_states to tenant_user;
grant select, insert, update on webhook.endpoint_states to rowhouse_dispatcher;

--@ policy "The webhook functions keep the sealed tenant's states" on webhook.endpoint_states
create policy "The webhook functions keep the sealed tenant's states" on webhook.endpoint_states
  for all to rowhouse_owner
  using (tenant_id = request.tenant_id()) with check (tenant_id = request.tenant_id());

--@ policy "The dispatcher works for every tenant" on webhook.endpoint_states
create policy "The dispatcher works for every tenant" on webhook.endpoint_states
  for all to rowhouse_dispatcher using (true) with check (true);

--@ function webhook.check_quota()
create function webhook.check_quota()
returns trigger
language plpgsql
volatile
security invoker -- rows are added by v1.create_webhook_endpoint() alone, whose owner reads tenants and plans
set search_path = ''
parallel unsafe
as $$
declare
  added record;
  plan_limit integer;
  used integer;
begin
  for added in select tenant_id, count(*) as requested from new_rows group by tenant_id order by tenant_id loop
    -- Two insertions at once would each count without the other.
    perform pg_advisory_xact_lock((21079::bigint << 48) | (1::bigint << 47) | (hashtextextended(added.tenant_id, 0) & ((1::bigint << 47) - 1)));
    select webhook_endpoints into plan_limit
    from tenancy.tenants join tenancy.plans using (tier) where id = added.tenant_id;
    select count(*) into used from webhook.endpoints where tenant_id = added.tenant_id;
    if used > plan_limit then
      perform request.raise_error('quota_exceeded', jsonb_build_object('resource', 'webhook_endpoints', 'limit', plan_limit,
        'used', used - added.requested, 'requested', added.requested)::text,
        'delete an endpoint, or ask the operator for another plan');
    end if;
  end loop;
  return null;
end
$$;
comment on function webhook.check_quota() is 'Statement trigger: how many endpoints the tenant''s plan allows. Raises quota_exceeded.';

--@ trigger check_quota on webhook.endpoints
create trigger check_quota after insert on webhook.endpoints
  referencing new table as new_rows for each statement execute function webhook.check_quota();

--@ function webhook.guard_endpoint()
create function webhook.guard_endpoint()
returns trigger
language plpgsql
volatile
security definer -- clients hold no grant on secrets and states
set search_path = ''
parallel unsafe
as $$
begin
  new.revision := old.revision + 1;
  if new.enabled and not old.enabled then
    new.disabled_reason := null;
    new.disabled_at := null;
    update webhook.endpoint_states
    set circuit = 'closed', opened = 0, paused_until = null, failing_since = null, failures = 0, generation = generation + 1
    where tenant_id = new.tenant_id and endpoint_id = new.id;
  elsif old.enabled and not new.enabled then
    new.disabled_reason := coalesce(new.disabled_reason, 'by_request');
    new.disabled_at := now();
  end if;
  if new.url is distinct from old.url then
    perform webhook.check_url(new.url);
  end if;
  if new.headers is distinct from old.headers then
    new.headers := webhook.keep_headers(new.id, new.headers);
  end if;
  if new.signing is distinct from old.signing then
    perform webhook.add_missing_secrets(new.id, new.signing);
  end if;
  return new;
end
$$;
comment on function webhook.guard_endpoint() is
  'What follows from a change of an endpoint: workers see its revision, the values of headers are put away encrypted, an endpoint that is '
  'enabled again starts without a past.';

--@ trigger guard_endpoint on webhook.endpoints
create trigger guard_endpoint before update on webhook.endpoints
  for each row execute function webhook.guard_endpoint();

--@ grants webhook.dispatcher
grant usage on schema request to rowhouse_dispatcher;
grant execute on function request.raise_error(text, text, text) to rowhouse_dispatcher;
grant select on tenancy.plans to rowhouse_dispatcher;

--@ table webhook.senders
create table webhook.senders (
  key_id text collate "C" not null,
  public_key text not null,
  allow_http boolean not null,
  registered_at timestamptz not null default now(),
  constraint senders_pkey primary key (key_id)
);
comment on table webhook.senders is
  'The OpenPGP keys that secrets are encrypted for, newest last. The private keys are the workers'' alone.';
comment on column webhook.senders.registered_at is 'When a worker said last that it is the one to encrypt for, and another was until then.';
comment on column webhook.senders.allow_http is 'Whether the workers that hold this key deliver over plain http as well.';

--@ function webhook.register_sender(text, text, boolean)
create function webhook.register_sender(key_id text, public_key text, allow_http boolean)
returns void
language sql
volatile
security definer -- workers hold no grant on the table: they can add a key, not replace one
set search_path = ''
parallel unsafe
begin atomic
  insert into webhook.senders as s (key_id, public_key, allow_http)
  values (register_sender.key_id, register_sender.public_key, register_sender.allow_http)
  -- Who goes back to the key before wants it to be encrypted for again: nobody may hold the other one any more.
  on conflict (key_id) do update set allow_http = excluded.allow_http, registered_at = case when exists (
      select from webhook.senders as newer where newer.registered_at > s.registered_at) then clock_timestamp() else s.registered_at end
  where s.allow_http <> excluded.allow_http or exists (select from webhook.senders as newer where newer.registered_at > s.registered_at);
end;
comment on function webhook.register_sender(text, text, boolean) is
  'What a worker says when it starts: the public half of its first key, armoured, which secrets are encrypted for from now on, and whether it delivers over http.';
grant execute on function webhook.register_sender(text, text, boolean) to rowhouse_worker;

--@ table webhook.endpoint_secrets
create table webhook.endpoint_secrets (
  tenant_id tenancy.tenant_id not null,
  endpoint_id uuid not null,
  id uuid not null default uuidv7(),
  kind text collate "C" not null,
  header text collate "C",
  key_id text collate "C" not null,
  ciphertext bytea not null,
  public_key text collate "C",
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz,
  constraint endpoint_secrets_pkey primary key (tenant_id, endpoint_id, id),
  constraint endpoint_secrets_header_key unique (tenant_id, endpoint_id, header),
  constraint endpoint_secrets_endpoint_fkey foreign key (tenant_id, endpoint_id)
    references webhook.endpoints (tenant_id, id) on delete cascade deferrable initially deferred,
  constraint endpoint_secrets_kind_known check (kind in ('hmac', 'ed25519', 'header')),
  constraint endpoint_secrets_header_has_name check ((kind = 'header') = (header is not null))
) partition by hash (tenant_id);
create index endpoint_secrets_unpublished_idx on webhook.endpoint_secrets (tenant_id, id) where kind = 'ed25519' and public_key is null;
comment on table webhook.endpoint_secrets is
  'Signing keys and header values, encrypted for the workers'' key. Apart from webhook.endpoints, whose rows the ledger copies.';
comment on column webhook.endpoint_secrets.public_key is 'Of an ed25519 key, as whpk_…: derived by a worker.';
comment on column webhook.endpoint_secrets.expires_at is 'Until then a rotated key signs beside its successor.';
select tenancy.protect('webhook.endpoint_secrets', partitions => 8, ledger => false, read_role => 'admin', write_role => 'owner', client_verbs => '{}');
grant select (tenant_id, endpoint_id, id, kind, public_key, created_at, expires_at) on webhook.endpoint_secrets to tenant_user;
grant select, update (public_key), delete on webhook.endpoint_secrets to rowhouse_dispatcher;

--@ policy "The webhook functions keep the sealed tenant's secrets" on webhook.endpoint_secrets
create policy "The webhook functions keep the sealed tenant's secrets" on webhook.endpoint_secrets
  for all to rowhouse_owner
  using (tenant_id = request.tenant_id()) with check (tenant_id = request.tenant_id());

--@ policy "The dispatcher works for every tenant" on webhook.endpoint_secrets
create policy "The dispatcher works for every tenant" on webhook.endpoint_secrets
  for all to rowhouse_dispatcher using (true) with check (true);

--@ function webhook.put_away(uuid, text, text, bytea)
create function webhook.put_away(endpoint uuid, kind text, header text, plain bytea)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  sender webhook.senders;
begin
  select * into sender from webhook.senders order by registered_at desc, key_id limit 1;
  if not found then
    perform request.raise_error('webhooks_unavailable', 'no worker has registered a key to encrypt secrets for',
      'start a worker that has WEBHOOK_PRIVATE_KEY');
  end if;
  insert into webhook.endpoint_secrets as s (endpoint_id, kind, header, key_id, ciphertext)
  values (endpoint, put_away.kind, put_away.header, sender.key_id,
    extensions.pgp_pub_encrypt_bytea(plain, extensions.dearmor(sender.public_key)))
  on conflict on constraint endpoint_secrets_header_key do update set key_id = excluded.key_id, ciphertext = excluded.ciphertext;
end
$$;
comment on function webhook.put_away(uuid, text, text, bytea) is
  'Stores a secret of the sealed tenant''s so that only the workers can read it. Raises webhooks_unavailable while none has said for which key.';

--@ function webhook.add_secret(uuid, text)
create function webhook.add_secret(endpoint uuid, kind text)
returns text
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  plain bytea := extensions.gen_random_bytes(32);
begin
  perform webhook.put_away(endpoint, add_secret.kind, null, plain);
  return case kind when 'hmac' then 'whsec_' || encode(plain, 'base64') end;
end
$$;
comment on function webhook.add_secret(uuid, text) is
  'Makes a signing key. Returns it, once, where the receiver needs it: of an ed25519 key it needs the public half alone.';

--@ function webhook.add_missing_secrets(uuid, text[])
create function webhook.add_missing_secrets(endpoint uuid, signing text[])
returns text
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  missing text;
  shown text;
begin
  for missing in
    select wanted.kind
    from (values ('hmac', 'v1'), ('ed25519', 'v1a')) as wanted (kind, scheme)
    where wanted.scheme = any (signing) and not exists (
      select from webhook.endpoint_secrets
      where tenant_id = request.tenant_id() and endpoint_id = endpoint and kind = wanted.kind and expires_at is null)
  loop
    shown := coalesce(webhook.add_secret(endpoint, missing), shown);
  end loop;
  return shown;
end
$$;
comment on function webhook.add_missing_secrets(uuid, text[]) is
  'A key for each scheme that the endpoint signs with and has none for. Returns the shared secret, if one was made.';

--@ function webhook.check_url(text)
create function webhook.check_url(url text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
begin
  if url like 'http:%' and not coalesce((select allow_http from webhook.senders order by registered_at desc, key_id limit 1), false) then
    perform request.raise_error('webhook_endpoint_invalid', 'webhooks are sent over https', 'give a URL that begins with https://');
  end if;
end
$$;
comment on function webhook.check_url(text) is 'Raises webhook_endpoint_invalid for plain http, unless the workers are told to send over it.';

--@ function webhook.keep_headers(uuid, jsonb)
create function webhook.keep_headers(endpoint uuid, headers jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  given record;
  known text[] := array(select header from webhook.endpoint_secrets where tenant_id = request.tenant_id() and endpoint_id = endpoint);
  kept text[] := '{}';
begin
  if jsonb_typeof(headers) is distinct from 'object' or (select count(*) from jsonb_object_keys(headers)) > 20 then
    perform request.raise_error('webhook_endpoint_invalid', 'headers is an object of at most 20 names and values');
  end if;
  for given in select lower(key) as name, jsonb_typeof(value) as type, value #>> '{}' as value from jsonb_each(headers) loop
    if given.name !~ '^[a-z0-9!#$%&''*+.^_`|~-]{1,100}$' or given.name = any (kept) then
      perform request.raise_error('webhook_endpoint_invalid', format('%s is no name of a header, or there twice', given.name));
    elsif given.name ~ '^(webhook-|proxy-|sec-|x-forwarded-)' or given.name in ('connection', 'keep-alive', 'te', 'trailer',
      'transfer-encoding', 'upgrade', 'host', 'content-length', 'content-encoding', 'expect', 'date', 'forwarded',
      'http2-settings', 'traceparent') then
      perform request.raise_error('webhook_endpoint_invalid', format('%s is not yours to set', given.name),
        'hop-by-hop fields, those that describe body and connection, and webhook-* are set by the sender');
    elsif given.type = 'null' and given.name = any (known) then
      null; -- stays as it is
    elsif given.type <> 'string' or given.value !~ '^[!-~]([\t -~]*[!-~])?$' or length(given.value) > 4096 then
      perform request.raise_error('webhook_endpoint_invalid', format('the value of %s is not 1 to 4096 visible ASCII characters', given.name));
    else
      perform webhook.put_away(endpoint, 'header', given.name, convert_to(given.value, 'UTF8'));
    end if;
    kept := kept || given.name;
  end loop;
  delete from webhook.endpoint_secrets
  where tenant_id = request.tenant_id() and endpoint_id = endpoint and kind = 'header' and header <> all (kept);
  return coalesce((select jsonb_object_agg(name, null) from unnest(kept) as name), '{}');
end
$$;
comment on function webhook.keep_headers(uuid, jsonb) is
  'Puts the values of headers away, and returns their names with null for each value. Raises webhook_endpoint_invalid.';

--@ grants webhook.keys
grant select (key_id, registered_at) on webhook.senders to rowhouse_dispatcher;
grant update (key_id, ciphertext) on webhook.endpoint_secrets to rowhouse_dispatcher;

--@ function webhook.outdated_secrets(text, text, uuid, uuid)
set role rowhouse_dispatcher;
create function webhook.outdated_secrets(for_key text, after_tenant text, after_endpoint uuid, after_id uuid)
returns table (tenant_id text, endpoint_id uuid, id uuid, key_id text, ciphertext bytea)
language sql
volatile -- it locks
security definer -- the secrets of every tenant, which only a worker can open
set search_path = ''
parallel unsafe
begin atomic
  select s.tenant_id::text, s.endpoint_id, s.id, s.key_id, s.ciphertext
  from webhook.endpoint_secrets as s
  -- Never away from the newest: workers that have another key first would undo what the others do, for ever.
  where for_key = (select newest.key_id from webhook.senders as newest order by newest.registered_at desc, newest.key_id limit 1)
    and s.key_id <> for_key and (s.tenant_id, s.endpoint_id, s.id) > (after_tenant, after_endpoint, after_id)
  order by s.tenant_id, s.endpoint_id, s.id
  limit 50
  for update skip locked;
end;
comment on function webhook.outdated_secrets(text, text, uuid, uuid) is
  'The next 50 secrets that are encrypted for an older key than for_key, if that is the newest, locked for this transaction; none that another worker has locked.';
grant execute on function webhook.outdated_secrets(text, text, uuid, uuid) to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.rewrap_secret(text, uuid, uuid, text, bytea)
set role rowhouse_dispatcher;
create function webhook.rewrap_secret(tenant text, endpoint uuid, secret_id uuid, for_key text, rewrapped bytea)
returns void
language sql
volatile
security definer -- as webhook.outdated_secrets()
set search_path = ''
parallel unsafe
begin atomic
  update webhook.endpoint_secrets as s set key_id = for_key, ciphertext = rewrapped
  where s.tenant_id = tenant and s.endpoint_id = endpoint and s.id = secret_id and s.key_id <> for_key
    and for_key = (select newest.key_id from webhook.senders as newest order by newest.registered_at desc, newest.key_id limit 1);
end;
comment on function webhook.rewrap_secret(text, uuid, uuid, text, bytea) is
  'Stores a secret of webhook.outdated_secrets() as it is encrypted for the newest key. What it says stays the same.';
grant execute on function webhook.rewrap_secret(text, uuid, uuid, text, bytea) to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.key_usage()
set role rowhouse_dispatcher;
create function webhook.key_usage()
returns table (key_id text, registered_at timestamptz, newest boolean, secrets bigint)
language sql
stable
security definer -- counts what is every tenant's, and shows none of it
set search_path = ''
parallel unsafe
begin atomic
  select k.key_id, k.registered_at, k.key_id = first_value(k.key_id) over (order by k.registered_at desc, k.key_id),
    (select count(*) from webhook.endpoint_secrets as s where s.key_id = k.key_id)
  from webhook.senders as k
  order by k.registered_at desc, k.key_id;
end;
comment on function webhook.key_usage() is
  'The keys that workers have registered, newest first, and how many secrets are encrypted for each: none any more, and nobody needs its private half.';
grant execute on function webhook.key_usage() to rowhouse_owner;
set role rowhouse_owner;

--@ function webhook.ordering_key(text, text)
create function webhook.ordering_key(ordering text, subject text)
returns text
language sql
immutable
security invoker
parallel safe
return case ordering
  when 'endpoint' then ''
  -- The key of an index, which refuses rows of more than 2,700 bytes: an event's subject may be longer.
  when 'subject' then case when octet_length(subject) > 200 then encode(sha256(convert_to(subject, 'UTF8')), 'hex') else coalesce(subject, '') end
end;
comment on function webhook.ordering_key(text, text) is
  'What an endpoint''s deliveries are ordered by: the subject, or its digest where it is long; '''' for the whole endpoint; null for no order.';
grant execute on function webhook.ordering_key(text, text) to rowhouse_dispatcher;

--@ table webhook.deliveries
-- No foreign key to the endpoint: its check would have the one statement that dispatches for all tenants wait for an endpoint that is being
-- deleted, and then fail. What a deleted endpoint leaves behind is shown by no view, and removed by webhook.purge_orphans().
--
-- Of each ordering key (and endpoint), a pending delivery is
--   fresh     next_attempt_at is null: it waits for its first attempt, and is read in order of position from the watermark on;
--   due       next_attempt_at is finite: it has failed, or is replayed;
--   blocked   next_attempt_at is infinity: it waits for the one before it.
-- Three things hold after every transaction:
--   1. No fresh one lies at or below the endpoint's watermark: it would never be read.
--   2. No fresh one of a key lies before one of it that is due or blocked: then the two need no comparing.
--   3. The first of a key's due and blocked ones is due: nobody else would ever free it.
-- webhook.claim() gives, of a key, the first of the due and blocked ones, and fresh ones only where there are none: so they go in order.
--   dispatch  adds fresh ones, above all others of the tenant. (A rewind can add some below: those are not ordered against what is due.)
--   failure   fresh → due, of the first. Later fresh ones are set aside, blocked, as they are read, or stay unread (of a whole endpoint).
--   success   fresh or due → settled, and a blocked one that is first then becomes due, whichever state the settled one was in.
--   replay    settled, or none → due, if the first of its key, or blocked. Fresh ones before it → likewise (webhook.line_up).
--   purge     held ones of a disabled endpoint → dead; the first that is left becomes due.
-- Two transactions that do not see each other can break the third: webhook.free_stranded() looks for that every few seconds.
create table webhook.deliveries (
  tenant_id tenancy.tenant_id not null,
  endpoint_id uuid not null,
  position bigint not null,
  event_type text collate "C" not null,
  subject text,
  ordering_key text collate "C",
  status text collate "C" not null default 'pending',
  attempts integer not null default 0,
  attempts_before integer not null default 0,
  next_attempt_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  attempted_at timestamptz,
  dead_at timestamptz,
  status_code integer,
  error text,
  latency_ms integer,
  response text,
  payload jsonb,
  constraint deliveries_pkey primary key (tenant_id, endpoint_id, position),
  constraint deliveries_status_known check (status in ('pending', 'succeeded', 'dead')),
  constraint deliveries_attempts_in_range check (attempts >= attempts_before and attempts_before >= 0),
  constraint deliveries_dead_when_dead check ((status = 'dead') = (dead_at is not null)),
  constraint deliveries_settled_is_not_due check (status = 'pending' or next_attempt_at is null)
) partition by hash (tenant_id);
-- A delivery that succeeds at once changes no column of any index, predicates included: its one update is HOT, and under a
-- held snapshot no index grows. What waits for its first attempt is found by the primary key, above the endpoint's watermark.
create index deliveries_position_idx on webhook.deliveries (tenant_id, position);
create index deliveries_due_idx on webhook.deliveries (tenant_id, endpoint_id, next_attempt_at) where next_attempt_at is not null;
create index deliveries_blocked_idx on webhook.deliveries (tenant_id, endpoint_id, ordering_key, position)
  where ordering_key is not null and next_attempt_at is not null;
create index deliveries_dead_idx on webhook.deliveries (tenant_id, endpoint_id, dead_at) where dead_at is not null;
comment on table webhook.deliveries is
  'One row for each event and endpoint: where its delivery stands, and its last attempt. The events themselves stay in the ledger.';
comment on column webhook.deliveries.endpoint_id is '@references webhook.endpoints.id';
comment on column webhook.deliveries.position is 'Of the event in the ledger. A test has a position of its own, and its event in payload.';
comment on column webhook.deliveries.status is '@sample "pending"';
comment on column webhook.deliveries.ordering_key is 'What is delivered one after the other: a subject, or '''' for the whole endpoint. Null: no order.';
comment on column webhook.deliveries.attempts_before is 'Attempts before the last replay: the schedule begins anew.';
comment on column webhook.deliveries.next_attempt_at is
  'Null: waits for its first attempt, or is settled. Infinity: waits for an earlier one with the same ordering_key.';
select tenancy.protect('webhook.deliveries', partitions => 16, ledger => false, read_role => 'admin', write_role => 'owner', client_verbs => '{}');
grant select on webhook.deliveries to tenant_user;
grant select, insert, update, delete on webhook.deliveries to rowhouse_dispatcher;

--@ policy "The dispatcher works for every tenant" on webhook.deliveries
create policy "The dispatcher works for every tenant" on webhook.deliveries
  for all to rowhouse_dispatcher using (true) with check (true);

--@ table webhook.attempts
create table webhook.attempts (
  tenant_id tenancy.tenant_id not null,
  endpoint_id uuid not null,
  position bigint not null,
  attempt integer not null,
  attempted_at timestamptz not null,
  succeeded boolean not null default false,
  status_code integer,
  error text,
  latency_ms integer,
  response text,
  constraint attempts_pkey primary key (tenant_id, endpoint_id, position, attempt)
) partition by hash (tenant_id);
comment on table webhook.attempts is
  'Attempts that failed, and those that succeeded before a replay. The one that settled a delivery is in its own row: most deliveries '
  'have no other.';
comment on column webhook.attempts.endpoint_id is '@references webhook.endpoints.id';
select tenancy.protect('webhook.attempts', partitions => 16, ledger => false, read_role => 'admin', write_role => 'owner', client_verbs => '{}');
grant select on webhook.attempts to tenant_user;
grant select, insert, delete on webhook.attempts to rowhouse_dispatcher;

--@ policy "The dispatcher works for every tenant" on webhook.attempts
create policy "The dispatcher works for every tenant" on webhook.attempts
  for all to rowhouse_dispatcher using (true) with check (true);

--@ function webhook.remove_deliveries()
set role rowhouse_dispatcher;
create function webhook.remove_deliveries()
returns trigger
language plpgsql
volatile
security definer -- whoever removes a tenant holds no grant on its deliveries
set search_path = ''
parallel unsafe
as $$
begin
  delete from webhook.deliveries where tenant_id = old.id;
  delete from webhook.attempts where tenant_id = old.id;
  return null;
end
$$;
comment on function webhook.remove_deliveries() is
  'What a removed tenant was sent goes with it. What was being written at that moment goes with webhook.purge_orphans().';
grant execute on function webhook.remove_deliveries() to rowhouse_owner;
set role rowhouse_owner;

--@ trigger remove_deliveries on tenancy.tenants
create trigger remove_deliveries after delete on tenancy.tenants
  for each row execute function webhook.remove_deliveries();

--@ data webhook.deliveries
do $$
declare
  partition record;
begin
  -- Room for the second version of most rows on their own page. Each row is updated once, soon: vacuum when a twentieth is dead.
  for partition in
    select inhrelid::regclass as name, inhparent = 'webhook.deliveries'::regclass as is_delivery
    from pg_catalog.pg_inherits where inhparent in ('webhook.deliveries'::regclass, 'webhook.endpoint_states'::regclass)
  loop
    execute format('alter table %s set (fillfactor = %s, autovacuum_vacuum_scale_factor = 0.05)',
      partition.name, case when partition.is_delivery then 45 else 30 end);
  end loop;
end
$$;

--@ function webhook.line_up(text, uuid, text[], bigint[])
set role rowhouse_dispatcher;
create function webhook.line_up(tenant text, endpoint uuid, keys text[], lasts bigint[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_custom_plan' -- one tenant's partition is planned for
set enable_seqscan = 'off'
set enable_nestloop = 'off' -- thousands of keys are hashed, not looked through for each delivery
parallel unsafe
as $$
declare
  watermark bigint := (select s.watermark from webhook.endpoint_states as s where s.tenant_id = tenant and s.endpoint_id = endpoint);
  last constant bigint := (select max(l) from unnest(lasts) as l);
begin
  -- Whoever settles one of these right now is waited for, or waits: it has to see what comes after.
  perform from unnest(keys) as k (key)
  cross join lateral (
    select from webhook.deliveries as d
    where d.tenant_id = tenant and d.endpoint_id = endpoint and d.ordering_key = k.key and d.next_attempt_at is not null
    order by d.position limit 1
    for no key update) as first;

  update webhook.deliveries as d set next_attempt_at = 'infinity'
  where d.tenant_id = tenant and d.endpoint_id = endpoint and d.position between watermark + 1 and last
    and d.status = 'pending' and d.next_attempt_at is null
    and exists (select from unnest(keys, lasts) as line (key, last) where line.key = d.ordering_key and d.position < line.last);

  update webhook.deliveries as d set next_attempt_at = 'infinity'
  where d.tenant_id = tenant and d.endpoint_id = endpoint and d.next_attempt_at < 'infinity'
    and d.position > (
      select first.position from webhook.deliveries as first
      where first.tenant_id = tenant and first.endpoint_id = endpoint and first.ordering_key = d.ordering_key
        and first.next_attempt_at is not null
      order by first.position limit 1);

  update webhook.deliveries as d set next_attempt_at = now()
  where d.tenant_id = tenant and d.endpoint_id = endpoint and d.next_attempt_at = 'infinity' and d.position = any (array(
    select (
      select first.position from webhook.deliveries as first
      where first.tenant_id = tenant and first.endpoint_id = endpoint and first.ordering_key = k.key and first.next_attempt_at is not null
      order by first.position limit 1)
    from unnest(keys) as k (key)));

  -- Workers let go of what they have in hand and have not begun.
  update webhook.endpoint_states as s set generation = s.generation + 1 where s.tenant_id = tenant and s.endpoint_id = endpoint;
end
$$;
comment on function webhook.line_up(text, uuid, text[], bigint[]) is
  'Part of webhook.replay(): puts the orders in order to which it has added deliveries, up to the last of each. Fresh ones before that are '
  'set aside, and of those that are due only the first stays so.';
set role rowhouse_owner;

--@ function webhook.free_first(text, uuid)
set role rowhouse_dispatcher;
create function webhook.free_first(tenant text, endpoint uuid)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.dispatch()
set enable_seqscan = 'off' -- as webhook.next_deliveries()
set enable_bitmapscan = 'off'
set enable_sort = 'off'
parallel unsafe
as $$
declare
  freed bigint;
begin
  -- From key to key, by the index: an order has thousands of deliveries.
  with recursive firsts (ordering_key, "position", next_attempt_at) as (
    (select d.ordering_key, d.position, d.next_attempt_at from webhook.deliveries as d
     where d.tenant_id = tenant and d.endpoint_id = endpoint and d.ordering_key is not null and d.next_attempt_at is not null
     order by d.ordering_key, d.position limit 1)
    union all
    select next.* from firsts as f
    cross join lateral (
      select d.ordering_key, d.position, d.next_attempt_at from webhook.deliveries as d
      where d.tenant_id = tenant and d.endpoint_id = endpoint and d.ordering_key > f.ordering_key and d.next_attempt_at is not null
      order by d.ordering_key, d.position limit 1) as next
  ), stranded as (
    update webhook.deliveries as d set next_attempt_at = now()
    where d.tenant_id = tenant and d.endpoint_id = endpoint and d.next_attempt_at = 'infinity'
      and d.position = any (array(select f.position from firsts as f where f.next_attempt_at = 'infinity'))
    returning d.position
  )
  select count(*) into freed from stranded;
  return freed;
end
$$;
comment on function webhook.free_first(text, uuid) is
  'The first delivery of each order that is blocked without any before it becomes due. Returns how many did.';
set role rowhouse_owner;

--@ function webhook.free_stranded()
set role rowhouse_dispatcher;
create function webhook.free_stranded()
returns bigint
language plpgsql
volatile
security definer -- of every tenant; whoever calls is told how many, no more
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.dispatch()
set enable_seqscan = 'off' -- as webhook.due_endpoints()
set enable_hashjoin = 'off'
set enable_mergejoin = 'off'
set enable_bitmapscan = 'off'
set lock_timeout = '250ms'
parallel unsafe
as $$
declare
  holding record;
  freed bigint := 0;
begin
  -- One worker's look is enough.
  if not pg_try_advisory_xact_lock((21079::bigint << 48) | (1::bigint << 47)) then
    return 0;
  end if;
  for holding in
    select e.tenant_id, e.id from webhook.endpoints as e
    where e.enabled and exists (
      select from webhook.deliveries as d
      where d.tenant_id = e.tenant_id and d.endpoint_id = e.id and d.next_attempt_at = 'infinity')
  loop
    begin
      freed := freed + webhook.free_first(holding.tenant_id, holding.id);
    exception when lock_not_available or deadlock_detected then
      null; -- its tenant is just replaying: the next look sees to it
    end;
  end loop;
  return freed;
end
$$;
comment on function webhook.free_stranded() is
  'Looks at every order for a delivery that waits for none before it, whatever has brought that about, and makes it due. Returns how many.';
grant execute on function webhook.free_stranded() to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.lease_key(uuid)
create function webhook.lease_key(endpoint_id uuid)
returns bigint
language sql
immutable
security invoker
parallel safe
return (21079::bigint << 48) | (hashtextextended(endpoint_id::text, 0) & ((1::bigint << 47) - 1));
comment on function webhook.lease_key(uuid) is 'Advisory lock key of an endpoint''s lease: 21079 ("RW") and 47 bits of its id.';
grant execute on function webhook.lease_key(uuid) to rowhouse_dispatcher;

--@ function webhook.project(jsonb, text[])
create function webhook.project(event jsonb, projection text[])
returns jsonb
language sql
immutable
security invoker
parallel safe
return case when projection is null then event else jsonb_set(event, '{data}', coalesce((
  select jsonb_object_agg(part, value)
  from (
    select split_part(path, '.', 1) as part,
      case when bool_or(path not like '%.%') then event #> array['data', split_part(path, '.', 1)]
        else jsonb_object_agg(split_part(path, '.', 2), event #> array['data', split_part(path, '.', 1), split_part(path, '.', 2)]) end as value
    from unnest(projection) as path
    where event #> string_to_array('data.' || path, '.') is not null
    group by split_part(path, '.', 1)
  ) as parts), '{}')) end;
comment on function webhook.project(jsonb, text[]) is 'An event with the parts of its data that were asked for: `new`, or `new.status`.';
grant execute on function webhook.project(jsonb, text[]) to rowhouse_dispatcher;

--@ function webhook.next_deliveries(text, uuid, text, integer, bigint)
set role rowhouse_dispatcher;
create function webhook.next_deliveries(tenant text, endpoint uuid, ordering text, max_rows integer, watermark bigint)
returns table (tenant_id text, "position" bigint, attempts integer, attempts_before integer, ordering_key text, next_attempt_at timestamptz,
  payload jsonb, blocked boolean)
language plpgsql
stable
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.dispatch()
set enable_seqscan = 'off' -- the statistics of a queue are never those of the moment
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  hidden_from bigint;
begin
  -- Of an order, the earliest that is not settled goes first: others wait at infinity.
  return query
    select d.tenant_id::text, d.position, d.attempts, d.attempts_before, d.ordering_key, d.next_attempt_at, d.payload, false
    from webhook.deliveries as d
    where d.tenant_id = tenant and d.endpoint_id = endpoint and d.next_attempt_at <= now() and (d.ordering_key is null or not exists (
      select from webhook.deliveries as earlier
      where earlier.tenant_id = tenant and earlier.endpoint_id = endpoint and earlier.ordering_key = d.ordering_key
        and earlier.next_attempt_at is not null and earlier.position < d.position))
    order by d.next_attempt_at
    limit max_rows;
  if watermark is null then
    return;
  elsif ordering = 'endpoint' then
    hidden_from := (
      select d.position from webhook.deliveries as d
      where d.tenant_id = tenant and d.endpoint_id = endpoint and d.ordering_key = '' and d.next_attempt_at is not null
      order by d.position limit 1);
  end if;
  return query
    select d.tenant_id::text, d.position, d.attempts, d.attempts_before, d.ordering_key, d.next_attempt_at, d.payload,
      d.ordering_key is not null and exists (
        select from webhook.deliveries as earlier
        where earlier.tenant_id = tenant and earlier.endpoint_id = endpoint and earlier.ordering_key = d.ordering_key
          and earlier.next_attempt_at is not null and earlier.position < d.position)
    from webhook.deliveries as d
    where d.tenant_id = tenant and d.endpoint_id = endpoint and d.position > watermark and d.position < coalesce(hidden_from, 9223372036854775807)
      and d.status = 'pending' and d.next_attempt_at is null
    order by d.position
    limit max_rows;
end
$$;
comment on function webhook.next_deliveries(text, uuid, text, integer, bigint) is
  'Part of webhook.claim(): up to max_rows deliveries that are due again, and as many above the watermark (none where null) that wait for '
  'their first attempt.';
set role rowhouse_owner;

--@ function webhook.claim(uuid[], jsonb)
set role rowhouse_dispatcher;
create function webhook.claim(releases uuid[], asks jsonb)
returns table (endpoint_id uuid, kind text, detail jsonb, "position" bigint, attempts integer, failed integer, ordering_key text,
  retried boolean, blocked boolean, event_id text, body text)
language plpgsql
volatile
security definer -- payloads of any tenant, but of endpoints that this session has leased alone
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.dispatch()
set enable_seqscan = 'off' -- the statistics of a queue are never those of the moment
set enable_hashjoin = 'off'
set enable_mergejoin = 'off'
set enable_sort = 'off'
set jit = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  held bigint[];
  leased uuid[];
  ready uuid[];
begin
  perform pg_advisory_unlock(webhook.lease_key(id)) from unnest(releases) as id;
  held := array(
    select (classid::bigint << 32) | objid::bigint from pg_catalog.pg_locks
    where locktype = 'advisory' and objsubid = 1 and pid = pg_backend_pid() and granted);
  -- The lease is a lock of the session: it ends with the worker, at once. What follows is read after it was taken.
  leased := array(
    select ask.id from jsonb_to_recordset(asks) as ask (id uuid)
    where case when webhook.lease_key(ask.id) = any (held) then true else pg_try_advisory_lock(webhook.lease_key(ask.id)) end);
  ready := array(
    select e.id
    from jsonb_to_recordset(asks) as ask (tenant text, id uuid)
    join webhook.endpoints as e on e.tenant_id = ask.tenant and e.id = ask.id
    join tenancy.tenants as t on t.id = e.tenant_id
    where ask.id = any (leased) and e.enabled and t.status = 'active');
  perform pg_advisory_unlock(webhook.lease_key(id)) from unnest(leased) as id where id <> all (ready);

  return query
    select ask.id, case when ask.id = any (leased) then 'gone' else 'busy' end, null::jsonb, null::bigint, null::integer, null::integer,
      null::text, null::boolean, null::boolean, null::text, null::text
    from jsonb_to_recordset(asks) as ask (id uuid)
    where ask.id <> all (ready)
    union all
    select e.id, 'endpoint', jsonb_build_object(
      'version', e.revision + s.generation, 'generation', s.generation, 'watermark', s.watermark, 'url', e.url,
      'ordering', e.ordering, 'rate', e.rate, 'timeoutMs', e.timeout_ms, 'signing', e.signing,
      'tenantConcurrency', p.delivery_concurrency, 'tenantWeight', p.delivery_weight,
      'secrets', coalesce((
        select jsonb_agg(jsonb_build_object('kind', secret.kind, 'header', secret.header, 'ciphertext', encode(secret.ciphertext, 'base64'),
          'expiresAt', extract(epoch from secret.expires_at) * 1000) order by secret.id desc)
        from webhook.endpoint_secrets as secret
        where secret.tenant_id = e.tenant_id and secret.endpoint_id = e.id
          and (secret.expires_at is null or secret.expires_at > now())), '[]')),
      null, null, null, null, null, null, null, null
    from jsonb_to_recordset(asks) as ask (tenant text, id uuid, version bigint)
    join webhook.endpoints as e on e.tenant_id = ask.tenant and e.id = ask.id
    join webhook.endpoint_states as s on s.tenant_id = e.tenant_id and s.endpoint_id = e.id
    join tenancy.tenants as t on t.id = e.tenant_id
    join tenancy.plans as p on p.tier = t.tier
    where ask.id = any (ready) and ask.version is distinct from e.revision + s.generation
    union all
    select s.endpoint_id, 'leased', jsonb_build_object('circuit', s.circuit, 'opened', s.opened, 'failures', s.failures,
        'pausedUntil', extract(epoch from s.paused_until) * 1000, 'failingSince', extract(epoch from s.failing_since) * 1000,
        'dueAt', extract(epoch from (
          select min(d.next_attempt_at) from webhook.deliveries as d
          where d.tenant_id = s.tenant_id and d.endpoint_id = s.endpoint_id and d.next_attempt_at > now()
            and d.next_attempt_at < 'infinity')) * 1000),
      null, null, null, null, null, null, null, null
    from jsonb_to_recordset(asks) as ask (tenant text, id uuid)
    join webhook.endpoint_states as s on s.tenant_id = ask.tenant and s.endpoint_id = ask.id
    where ask.id = any (ready)
    union all
    select e.id, 'delivery', null, d.position, d.attempts, d.attempts - d.attempts_before, d.ordering_key, d.next_attempt_at is not null,
      d.blocked, coalesce(d.payload ->> 'id', 'evt_' || d.position),
      webhook.project(coalesce(d.payload, (
        -- A range and its order, which is the primary key's: any other index of a new ledger looks as good to the planner, and reads all of the tenant's entries.
        select event.event from ledger.events as event
        where event.tenant_id = d.tenant_id and event.position >= d.position and event.position <= d.position
        order by event.position limit 1)), e.projection)::text
    from jsonb_to_recordset(asks) as ask (tenant text, id uuid, version bigint, watermark bigint, rows integer, fresh boolean)
    join webhook.endpoints as e on e.tenant_id = ask.tenant and e.id = ask.id
    join webhook.endpoint_states as s on s.tenant_id = e.tenant_id and s.endpoint_id = e.id
    cross join lateral webhook.next_deliveries(e.tenant_id, e.id, e.ordering, ask.rows,
      case when not ask.fresh then null when ask.version = e.revision + s.generation then ask.watermark else s.watermark end) as d
    where ask.id = any (ready);
end
$$;
comment on function webhook.claim(uuid[], jsonb) is
  'Gives leases back, takes others or keeps them, and reads what is due: [{tenant, id, version, watermark, rows, fresh}]. For each endpoint: '
  'busy (another session has it); gone (deleted, disabled or its tenant suspended); or leased, with what is known of the receiver and when '
  'another delivery falls due, endpoint, where its version is another, and up to `rows` deliveries of each kind.';
grant execute on function webhook.claim(uuid[], jsonb) to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.dispatch(integer, integer, smallint[])
set role rowhouse_dispatcher;
create function webhook.dispatch(max_slots integer, max_entries integer, among smallint[] default null)
returns table (slot smallint, "position" bigint, entries integer, more boolean, tenant_id text, endpoint_id uuid)
language plpgsql
volatile
security definer -- matches every tenant's events with that tenant's endpoints; its caller is told which endpoints got work, no more
set search_path = ''
-- Planning 16 partitions each time costs more than the work. The plan outlives the statistics that it was made with, which are
-- never those of the moment: it must not come to read whole tables because they were small.
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set jit = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  slots smallint[];
  afters bigint[];
  uptos bigint[];
  mores boolean[];
begin
  -- A statement of its own: the entries below have to be read with a later snapshot.
  select array_agg(c.slot), array_agg(c.after_position), array_agg(c.upto_position), array_agg(c.more)
  into slots, afters, uptos, mores
  from ledger.claim('webhooks', max_slots, max_entries, among) as c;
  if slots is null then
    return;
  end if;
  return query
    with events as materialized (
      select e.slot, e.tenant_id, e.position, e.type, e.subject, e.source
      from unnest(slots, afters, uptos) as claimed (slot, after_position, upto_position)
      cross join lateral (
        select e.slot, e.tenant_id, e.position, e.type, e.subject, e.source from ledger.events as e
        where e.slot = claimed.slot and e.position > claimed.after_position and e.position <= claimed.upto_position
        offset 0) as e
    ), kinds as (
      select distinct e.tenant_id, e.type, e.source from events as e
    ), matches as materialized (
      select k.tenant_id, k.type, k.source, endpoint.id, endpoint.ordering
      from kinds as k
      cross join lateral (
        select e.id, e.ordering from webhook.endpoints as e
        where e.tenant_id = k.tenant_id and e.enabled and k.type like any (e.type_patterns)
          -- An endpoint is an admin's. Not asked of each event: the answer may read policies.
          and not exists (select from ledger.sources as s where s.name = k.source and s.least_role = 'owner')
        offset 0) as endpoint
    ), added as (
      insert into webhook.deliveries as d (tenant_id, endpoint_id, position, event_type, subject, ordering_key)
      select e.tenant_id, m.id, e.position, e.type, e.subject,
        webhook.ordering_key(m.ordering, e.subject)
      from events as e
      join matches as m on m.tenant_id = e.tenant_id and m.type = e.type and m.source = e.source
      order by e.tenant_id, m.id, e.position
      on conflict do nothing -- handed over before, by a dispatcher that died before it could say so
      returning d.tenant_id, d.endpoint_id, d.position
    ), work as (
      select a.tenant_id, a.endpoint_id, min(a.position) as lowest from added as a group by a.tenant_id, a.endpoint_id
    ), lowered as (
      -- Only after such a repetition, or a rewind: an endpoint that was not there the first time.
      update webhook.endpoint_states as s set watermark = w.lowest - 1, generation = s.generation + 1
      from work as w
      where s.tenant_id = w.tenant_id and s.endpoint_id = w.endpoint_id and s.watermark >= w.lowest
    )
    select claimed.slot, claimed.upto_position, (select count(*)::integer from events as e where e.slot = claimed.slot), claimed.more,
      null::text, null::uuid
    from unnest(slots, uptos, mores) as claimed (slot, upto_position, more)
    union all
    select null, null, null, null, w.tenant_id::text, w.endpoint_id from work as w;
end
$$;
comment on function webhook.dispatch(integer, integer, smallint[]) is
  'Hands the entries of up to max_slots free slots of the ledger (among those named, if any are) over to the endpoints that want them. '
  'Returns the slots, for ledger.advance() after the commit, and whether each has more; and the endpoints that have new deliveries.';
grant execute on function webhook.dispatch(integer, integer, smallint[]) to rowhouse_worker;
set role rowhouse_owner;

--@ data ledger.consumers.webhooks
select ledger.add_consumer('webhooks');

--@ function webhook.skip_entries()
set role rowhouse_dispatcher;
create function webhook.skip_entries()
returns void
language plpgsql
volatile
security definer -- the cursors are the dispatcher's: nobody else may move them
set search_path = ''
parallel unsafe
as $$
declare
  drawn bigint := (select last_value from ledger.positions);
  slots smallint[];
  uptos bigint[];
begin
  select array_agg(s.slot), array_agg(s.settled) into slots, uptos from ledger.slots('webhooks', drawn) as s;
  -- In this order: with no sender now there was no endpoint then, since endpoints have secrets (webhook.put_away).
  if exists (select from webhook.senders) then
    return;
  end if;
  for nth in 1 .. cardinality(slots) loop
    if pg_try_advisory_xact_lock(ledger.cursor_key('webhooks', slots[nth]))
       and coalesce(pg_sequence_last_value(ledger.cursor('webhooks', slots[nth])), 0) < uptos[nth] then
      perform setval(ledger.cursor('webhooks', slots[nth]), uptos[nth]);
    end if;
  end loop;
end
$$;
comment on function webhook.skip_entries() is
  'To be called now and then: where no worker has ever had a key for webhooks, and so nobody has an endpoint, the consumer moves past what is '
  'settled without a look at it. Or the first endpoint would be sent everything since the installation.';
grant execute on function webhook.skip_entries() to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.recordset(jsonb)
create function webhook.recordset(body jsonb)
returns table (t text, e uuid, p bigint, k text, attempt integer, status text, code integer, error text, latency integer, response text,
  at float8, next_at float8)
language plpgsql
immutable
security invoker
set search_path = ''
-- jsonb_to_recordset() counts as 100 rows. A plan made while webhook.deliveries was empty would then look at 16 partitions 100 times, or
-- read all of them once, which is cheaper until there are deliveries: it has to look each row up instead.
rows 1
parallel safe
as $$
begin
  return query select * from jsonb_to_recordset(body) as r (t text, e uuid, p bigint, k text, attempt integer, status text, code integer,
    error text, latency integer, response text, at float8, next_at float8);
end
$$;
comment on function webhook.recordset(jsonb) is 'Part of webhook.record(): results, parked or freed as rows.';
grant execute on function webhook.recordset(jsonb) to rowhouse_dispatcher;

--@ function webhook.record(jsonb, jsonb, jsonb, jsonb)
set role rowhouse_dispatcher;
create function webhook.record(results jsonb, parked jsonb, freed jsonb, states jsonb)
returns integer
language plpgsql
volatile
security definer -- a worker says what came of deliveries of any tenant; it reads none here
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.dispatch()
set enable_seqscan = 'off' -- as webhook.next_deliveries()
set enable_hashjoin = 'off'
set enable_mergejoin = 'off'
set enable_bitmapscan = 'off'
set jit = 'off'
set lock_timeout = '100ms' -- a row that a tenant holds, by a replay or a change of its endpoint, must not hold up the records of others
parallel unsafe
as $$
declare
  recorded integer;
begin
  with moved as (
    update webhook.deliveries as d set
      status = r.status, attempts = r.attempt, next_attempt_at = to_timestamp(r.next_at / 1000), attempted_at = to_timestamp(r.at / 1000),
      dead_at = case r.status when 'dead' then now() end,
      status_code = r.code, error = r.error, latency_ms = r.latency, response = r.response
    from webhook.recordset(results) as r
    where d.tenant_id = r.t and d.endpoint_id = r.e and d.position = r.p
      -- Only the attempt that follows the last one known: what another worker has recorded meanwhile stays.
      and d.attempts = r.attempt - 1 and d.status = 'pending'
    returning d.tenant_id, d.endpoint_id, d.position, d.attempts, d.status, d.attempted_at, d.status_code, d.error, d.latency_ms, d.response
  ), kept as (
    insert into webhook.attempts (tenant_id, endpoint_id, position, attempt, attempted_at, status_code, error, latency_ms, response)
    select tenant_id, endpoint_id, position, attempts, attempted_at, status_code, error, latency_ms, response from moved
    where status <> 'succeeded'
    on conflict do nothing
  )
  select count(*) into recorded from moved;

  if jsonb_array_length(parked) > 0 then
    -- Behind an earlier one of its order that will be tried again. Unless that was settled a moment ago.
    update webhook.deliveries as d set next_attempt_at = case when exists (
        select from webhook.deliveries as earlier
        where earlier.tenant_id = d.tenant_id and earlier.endpoint_id = d.endpoint_id and earlier.ordering_key = d.ordering_key
          and earlier.next_attempt_at is not null and earlier.position < d.position)
      then 'infinity' else now() end
    from webhook.recordset(parked) as r
    where d.tenant_id = r.t and d.endpoint_id = r.e and d.position = r.p and d.status = 'pending' and d.next_attempt_at is null;
  end if;

  if jsonb_array_length(freed) > 0 then
    update webhook.deliveries as d set next_attempt_at = now()
    from webhook.recordset(freed) as r
    where d.tenant_id = r.t and d.endpoint_id = r.e and d.next_attempt_at = 'infinity' and d.position = (
      select waiting.position from webhook.deliveries as waiting
      where waiting.tenant_id = r.t and waiting.endpoint_id = r.e and waiting.ordering_key = r.k and waiting.next_attempt_at is not null
      order by waiting.position limit 1);
  end if;

  if jsonb_array_length(states) > 0 then
    -- A worker that knows of an attempt whose record a crash took along would pass over its delivery for ever.
    update webhook.endpoint_states as s set
      watermark = case when s.generation = r.generation and not passed.over then greatest(s.watermark, r.watermark) else s.watermark end,
      generation = case when s.generation = r.generation and passed.over then s.generation + 1 else s.generation end,
      circuit = r.circuit, opened = r.opened, paused_until = to_timestamp(r.paused / 1000), failing_since = to_timestamp(r.failing / 1000),
      failures = r.failures, last_error = r.error
    from jsonb_to_recordset(states) as r (t text, e uuid, generation bigint, watermark bigint, circuit text, opened integer, paused float8,
      failing float8, failures bigint, error text)
    join webhook.endpoint_states as known on known.tenant_id = r.t and known.endpoint_id = r.e
    cross join lateral (select exists (
      select from webhook.deliveries as d
      where d.tenant_id = r.t and d.endpoint_id = r.e and d.position > known.watermark and d.position <= r.watermark
        and d.status = 'pending' and d.next_attempt_at is null)) as passed (over)
    where s.tenant_id = r.t and s.endpoint_id = r.e;
  end if;
  return recorded;
end
$$;
comment on function webhook.record(jsonb, jsonb, jsonb, jsonb) is
  'What came of attempts, in one statement for all of them. parked: deliveries that wait behind one of their order; freed: orders of '
  'which one was settled, so that the next is due if it was blocked; states: what the leaseholder keeps of endpoints. Returns how many attempts '
  'were recorded: not those of deliveries that are gone or that were recorded before. Raises lock_not_available where somebody has any of the rows.';
grant execute on function webhook.record(jsonb, jsonb, jsonb, jsonb) to rowhouse_worker;
set role rowhouse_owner;

--@ data ledger.event_types.webhook
select ledger.declare_event_type('webhook.endpoint.disabled',
  'An endpoint was disabled because it answered 410, or with nothing but failures for days.',
  '{"type": "object", "required": ["endpoint_id", "url", "reason", "disabled_at"], "properties": {
    "endpoint_id": {"type": "string", "format": "uuid"}, "url": {"type": "string"},
    "reason": {"enum": ["gone", "failing"]}, "disabled_at": {"type": "string", "format": "date-time"}}}', 'admin');

--@ function webhook.disable(text, uuid, text)
set role rowhouse_dispatcher;
create function webhook.disable(tenant text, endpoint uuid, reason text)
returns boolean
language plpgsql
volatile
security definer -- a worker may end an endpoint of any tenant, and change nothing else of it
set search_path = ''
set lock_timeout = '250ms' -- as webhook.record(); its next failure ends it
parallel unsafe
as $$
declare
  ended webhook.endpoints;
begin
  -- Workers record without waiting for the disk. An event that somebody has seen must be there after a crash, though.
  set local synchronous_commit = 'on';
  update webhook.endpoints as e set enabled = false, disabled_reason = reason, disabled_at = now()
  where e.tenant_id = tenant and e.id = endpoint and e.enabled
  returning * into ended;
  if not found then
    return false;
  end if;
  perform ledger.append_event(tenant, 'webhook.endpoint.disabled', endpoint::text, jsonb_build_object(
    'endpoint_id', ended.id, 'url', ended.url, 'reason', reason, 'disabled_at', ended.disabled_at));
  return true;
end
$$;
comment on function webhook.disable(text, uuid, text) is
  'Disables an endpoint that does nothing but fail, and tells its tenant by an event. reason: gone or failing. False: it was disabled already.';
grant execute on function webhook.disable(text, uuid, text) to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.due_endpoints(double precision)
set role rowhouse_dispatcher;
create function webhook.due_endpoints(within_seconds double precision)
returns table (tenant_id text, endpoint_id uuid)
language sql
stable
security definer -- tells a worker where work is left over, whosever it is; nothing of the work
set search_path = ''
set enable_seqscan = 'off' -- as webhook.next_deliveries(); one look into an index for each endpoint
set enable_hashjoin = 'off'
set enable_mergejoin = 'off'
set enable_bitmapscan = 'off'
set jit = 'off'
parallel unsafe
begin atomic
  select e.tenant_id::text, e.id
  from webhook.endpoints as e
  join tenancy.tenants as t on t.id = e.tenant_id and t.status = 'active'
  join webhook.endpoint_states as s on s.tenant_id = e.tenant_id and s.endpoint_id = e.id
  where e.enabled and coalesce(s.paused_until <= now(), true) and (
    (select min(d.next_attempt_at) from webhook.deliveries as d
     where d.tenant_id = e.tenant_id and d.endpoint_id = e.id and d.next_attempt_at is not null)
      <= now() + make_interval(secs => within_seconds)
    or exists (
      select from webhook.deliveries as d
      where d.tenant_id = e.tenant_id and d.endpoint_id = e.id and d.position > s.watermark
        and d.status = 'pending' and d.next_attempt_at is null));
end;
comment on function webhook.due_endpoints(double precision) is
  'Endpoints with deliveries that are due, or soon will be: what a worker that died has left, and retries of long ago.';
grant execute on function webhook.due_endpoints(double precision) to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.unpublished_keys()
set role rowhouse_dispatcher;
create function webhook.unpublished_keys()
returns table (tenant_id text, endpoint_id uuid, id uuid, ciphertext bytea)
language sql
stable
security definer -- the keys of every tenant, which only a worker can open
set search_path = ''
parallel unsafe
begin atomic
  select s.tenant_id::text, s.endpoint_id, s.id, s.ciphertext
  from webhook.endpoint_secrets as s where s.kind = 'ed25519' and s.public_key is null limit 100;
end;
comment on function webhook.unpublished_keys() is 'ed25519 keys whose public half nobody has derived yet.';
grant execute on function webhook.unpublished_keys() to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.publish_key(text, uuid, uuid, text)
set role rowhouse_dispatcher;
create function webhook.publish_key(tenant text, endpoint uuid, secret_id uuid, derived_key text)
returns void
language sql
volatile
security definer -- as webhook.unpublished_keys()
set search_path = ''
parallel unsafe
begin atomic
  update webhook.endpoint_secrets set public_key = derived_key
  where tenant_id = tenant and endpoint_id = endpoint and id = secret_id and kind = 'ed25519' and public_key is null;
end;
comment on function webhook.publish_key(text, uuid, uuid, text) is 'Shows the public half of an ed25519 key, whpk_…, in v1.webhook_endpoints.';
grant execute on function webhook.publish_key(text, uuid, uuid, text) to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer)
set role rowhouse_dispatcher;
create function webhook.replay(
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

  -- What the dispatcher has not handed over yet, it will; one that is about to may have seen the endpoint while it was disabled. To add a
  -- delivery in its place would have it, and with it all tenants, wait for the end of this transaction.
  for look in 1 .. 25 loop
    reached := coalesce(pg_sequence_last_value(ledger.cursor('webhooks', ledger.slot(replay.tenant_id))), 0);
    exit when reached >= positions[counted];
    perform pg_sleep(0.01);
  end loop;
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

  -- Throttled: so many a second. Of an order only the earliest is due; each that is settled frees the next.
  with replayed as (
    insert into webhook.deliveries as d (tenant_id, endpoint_id, position, event_type, subject, ordering_key, next_attempt_at)
    select replay.tenant_id, replay.endpoint_id, e.position, e.type, e.subject, k.ordering_key,
      case when k.ordering_key is not null and row_number() over (partition by k.ordering_key order by e.position) > 1 then 'infinity'
        else now() + make_interval(secs => (row_number() over (order by e.position) - 1) / a_second) end
    from ledger.events as e
    cross join lateral (select webhook.ordering_key(endpoint.ordering, e.subject)) as k (ordering_key)
    where e.tenant_id = replay.tenant_id and e.position = any (positions)
    order by e.position
    on conflict on constraint deliveries_pkey do update set
      status = 'pending', dead_at = null, ordering_key = excluded.ordering_key, next_attempt_at = excluded.next_attempt_at,
      attempts_before = d.attempts
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
  return counted;
end
$$;
comment on function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer) is
  'Delivers events of a range of positions to an endpoint again, or for the first time, 100 a second: all that it asks for, or those that '
  'became dead letters since failed_since; `most` at once. Returns how many, with those that the dispatcher is about to hand over anyway; '
  'dry_run: how many it would be. Raises webhook_endpoint_unknown, webhook_replay_invalid.';
grant execute on function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer) to rowhouse_owner;
set role rowhouse_owner;

--@ function webhook.send_test(text, uuid, text)
set role rowhouse_dispatcher;
create function webhook.send_test(tenant text, endpoint uuid, event_type text)
returns bigint
language plpgsql
volatile
security definer -- as webhook.replay()
set search_path = ''
parallel unsafe
as $$
declare
  drawn bigint := nextval('ledger.positions');
begin
  insert into webhook.deliveries (tenant_id, endpoint_id, position, event_type, subject, next_attempt_at, payload)
  values (tenant, endpoint, drawn, event_type, endpoint::text, now(), jsonb_build_object(
    'specversion', '1.0', 'id', 'test_' || drawn, 'source', '/tenants/' || tenant, 'type', event_type, 'subject', endpoint::text,
    'time', to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'datacontenttype', 'application/json',
    'tenantid', tenant, 'data', jsonb_build_object('test', true)));
  return drawn;
end
$$;
comment on function webhook.send_test(text, uuid, text) is
  'Part of v1.test_webhook_endpoint(): an event that is in no ledger, for one endpoint, outside of any order. Returns its position.';
grant execute on function webhook.send_test(text, uuid, text) to rowhouse_owner;
set role rowhouse_owner;

--@ grants ledger.positions
grant usage on ledger.positions to rowhouse_dispatcher;

--@ function webhook.first_position_at(timestamptz)
set role rowhouse_dispatcher;
create function webhook.first_position_at(at timestamptz)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.dispatch()
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
set enable_sort = 'off'
parallel unsafe
as $$
declare
  lowest bigint := 0;
  highest bigint := (select last_value from ledger.positions);
  middle bigint;
  probed record;
  first_found bigint := highest + 1;
begin
  -- As ledger.position_at(), of all tenants.
  while lowest <= highest loop
    middle := lowest + (highest - lowest) / 2;
    select e.position, e.occurred_at into probed
    from generate_series(0, 15) as s (slot)
    cross join lateral (
      select found.position, found.occurred_at from ledger.entries as found
      where found.slot = s.slot::smallint and found.position >= middle order by found.position limit 1) as e
    order by e.position limit 1;
    if probed.occurred_at < at then
      lowest := middle + 1;
    else
      first_found := coalesce(probed.position, first_found);
      highest := middle - 1;
    end if;
  end loop;
  return first_found;
end
$$;
comment on function webhook.first_position_at(timestamptz) is 'Part of webhook.purge_deliveries(): events below this position are from before that time.';
set role rowhouse_owner;

--@ function webhook.purge_deliveries()
set role rowhouse_dispatcher;
create function webhook.purge_deliveries()
returns bigint
language plpgsql
volatile
security definer -- removes what is old of every tenant
set search_path = ''
parallel unsafe
as $$
declare
  endpoint record;
  done bigint := 0;
  batch bigint;
  most constant bigint := 10000;
  old constant timestamptz := now() - interval '30 days';
  hold constant interval := '14 days';
  -- Only what an old event is about can be old: the rest, which is most of it, is not looked at.
  before constant bigint := webhook.first_position_at(old);
begin
  delete from webhook.endpoint_secrets as s where s.expires_at < now();
  for endpoint in select e.tenant_id, e.id, e.enabled, e.disabled_at from webhook.endpoints as e loop
    exit when done >= most;
    if not endpoint.enabled and endpoint.disabled_at < now() - hold then
      with held as (
        select d.position from webhook.deliveries as d
        where d.tenant_id = endpoint.tenant_id and d.endpoint_id = endpoint.id and d.status = 'pending'
        order by d.position limit most - done
      ), ended as (
        update webhook.deliveries as d set status = 'dead', dead_at = now(), next_attempt_at = null, error = 'endpoint_disabled'
        from held
        where d.tenant_id = endpoint.tenant_id and d.endpoint_id = endpoint.id and d.position = held.position and d.status = 'pending'
        returning d.position
      )
      select count(*) into batch from ended;
      if batch > 0 then
        -- Somebody can enable it before the next batch.
        perform webhook.free_first(endpoint.tenant_id, endpoint.id);
        done := done + batch;
      end if;
    end if;
    with settled as (
      select d.position from webhook.deliveries as d
      where d.tenant_id = endpoint.tenant_id and d.endpoint_id = endpoint.id and d.position < before
        and d.status <> 'pending' and d.created_at < old and coalesce(d.attempted_at, d.created_at) < old
      order by d.position limit greatest(most - done, 0)
    ), gone as (
      delete from webhook.deliveries as d using settled
      where d.tenant_id = endpoint.tenant_id and d.endpoint_id = endpoint.id and d.position = settled.position and d.status <> 'pending'
      returning d.position
    ), attempts as (
      delete from webhook.attempts as a using gone
      where a.tenant_id = endpoint.tenant_id and a.endpoint_id = endpoint.id and a.position = gone.position
    )
    select count(*) into batch from gone;
    done := done + batch;
  end loop;
  return done;
end
$$;
comment on function webhook.purge_deliveries() is
  'Removes deliveries that were settled 30 days ago, their attempts, and signing keys that have expired. What a disabled endpoint has held '
  'for 14 days is dead. A batch: returns how many deliveries went or died; fewer than 10,000 when nothing is left to do.';
grant execute on function webhook.purge_deliveries() to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.purge_orphans()
set role rowhouse_dispatcher;
create function webhook.purge_orphans()
returns bigint
language plpgsql
volatile
security definer -- as webhook.purge_deliveries()
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.dispatch()
set enable_seqscan = 'off' -- as webhook.next_deliveries(): from endpoint to endpoint, by the primary key
set enable_bitmapscan = 'off'
set enable_sort = 'off'
parallel unsafe
as $$
declare
  orphan record;
  removed bigint := 0;
  batch bigint;
  most constant bigint := 10000;
begin
  for orphan in
    with recursive known (tenant_id, endpoint_id) as (
      (select d.tenant_id, d.endpoint_id from webhook.deliveries as d order by d.tenant_id, d.endpoint_id limit 1)
      union all
      select next.* from known as k
      cross join lateral (
        select d.tenant_id, d.endpoint_id from webhook.deliveries as d
        where (d.tenant_id, d.endpoint_id) > (k.tenant_id, k.endpoint_id) order by d.tenant_id, d.endpoint_id limit 1) as next
    )
    select k.tenant_id, k.endpoint_id from known as k
    where not exists (select from webhook.endpoints as e where e.tenant_id = k.tenant_id and e.id = k.endpoint_id)
  loop
    exit when removed >= most;
    delete from webhook.deliveries as d
    where d.tenant_id = orphan.tenant_id and d.endpoint_id = orphan.endpoint_id and d.position = any (array(
      select first.position from webhook.deliveries as first
      where first.tenant_id = orphan.tenant_id and first.endpoint_id = orphan.endpoint_id
      order by first.position limit most - removed));
    get diagnostics batch = row_count;
    removed := removed + batch;
  end loop;
  -- By themselves: an attempt can have been recorded while its delivery was being removed.
  for orphan in
    with recursive known (tenant_id, endpoint_id) as (
      (select a.tenant_id, a.endpoint_id from webhook.attempts as a order by a.tenant_id, a.endpoint_id limit 1)
      union all
      select next.* from known as k
      cross join lateral (
        select a.tenant_id, a.endpoint_id from webhook.attempts as a
        where (a.tenant_id, a.endpoint_id) > (k.tenant_id, k.endpoint_id) order by a.tenant_id, a.endpoint_id limit 1) as next
    )
    select k.tenant_id, k.endpoint_id from known as k
    where not exists (select from webhook.endpoints as e where e.tenant_id = k.tenant_id and e.id = k.endpoint_id)
  loop
    exit when removed >= most;
    delete from webhook.attempts as a
    where a.tenant_id = orphan.tenant_id and a.endpoint_id = orphan.endpoint_id and (a.position, a.attempt) in (
      select first.position, first.attempt from webhook.attempts as first
      where first.tenant_id = orphan.tenant_id and first.endpoint_id = orphan.endpoint_id
      order by first.position, first.attempt limit most - removed);
    get diagnostics batch = row_count;
    removed := removed + batch;
  end loop;
  return removed;
end
$$;
comment on function webhook.purge_orphans() is
  'Removes what endpoints that were deleted have left: deliveries and attempts, which no view shows any more. A batch: returns how many rows; '
  'fewer than 10,000 when there are none left.';
grant execute on function webhook.purge_orphans() to rowhouse_worker;
set role rowhouse_owner;

--@ view v1.webhook_endpoints
create view v1.webhook_endpoints with (security_invoker = true) as
  select e.tenant_id, e.id, e.url, e.event_types, e.ordering, e.rate, e.headers, e.projection, e.signing, e.timeout_ms, e.enabled,
    e.description, e.disabled_reason, e.disabled_at, e.created_by, e.created_at, e.updated_at,
    (select coalesce(array_agg(s.public_key order by s.created_at desc), '{}') from webhook.endpoint_secrets as s
     where s.tenant_id = e.tenant_id and s.endpoint_id = e.id and s.public_key is not null
       and (s.expires_at is null or s.expires_at > now())) as public_keys,
    (select jsonb_build_object('circuit', s.circuit, 'paused_until', s.paused_until, 'failing_since', s.failing_since,
       'failures', s.failures, 'last_error', s.last_error)
     from webhook.endpoint_states as s where s.tenant_id = e.tenant_id and s.endpoint_id = e.id) as health
  from webhook.endpoints as e;
comment on view v1.webhook_endpoints is $$Webhook endpoints

Where your tenant's events are sent. For admins and owners. Make one with create_webhook_endpoint, which shows its secret once.$$;
comment on column v1.webhook_endpoints.url is 'https, without credentials or a fragment. Private and local addresses are refused when it is connected to.';
comment on column v1.webhook_endpoints.event_types is 'Types of events; * stands for any characters: app.jobs.*';
comment on column v1.webhook_endpoints.ordering is
  'none: as soon as possible; subject: the events of one subject strictly one after the other; endpoint: all of them.';
comment on column v1.webhook_endpoints.rate is 'Deliveries a second at the most; no limit of its own where null.';
comment on column v1.webhook_endpoints.headers is
  'Sent with each delivery. Values are stored encrypted and shown as null; a null that is sent back leaves the value as it is.';
comment on column v1.webhook_endpoints.projection is 'Which parts of an event''s data are sent, such as changed or new.status; all where null.';
comment on column v1.webhook_endpoints.signing is 'v1: HMAC-SHA256 with the shared secret; v1a: ed25519, verified with public_keys. '
  'Where v1 is added later, rotate_webhook_secret shows a secret.';
comment on column v1.webhook_endpoints.timeout_ms is 'How long the receiver may take for its answer.';
comment on column v1.webhook_endpoints.enabled is 'Set it to true to send again; what was held is sent then.';
comment on column v1.webhook_endpoints.disabled_reason is 'by_request; gone: it answered 410; failing: nothing but failures for days.';
comment on column v1.webhook_endpoints.public_keys is 'The newest first. They appear a moment after an endpoint that signs with v1a is made.';
comment on column v1.webhook_endpoints.health is
  'circuit: closed, open (nothing is sent until paused_until), or half_open (one delivery is tried); since when it has failed, and how often.';
grant select, delete, update (url, event_types, ordering, rate, headers, projection, signing, timeout_ms, enabled, description)
  on v1.webhook_endpoints to tenant_user;
grant select, delete, update (url, event_types, ordering, rate, headers, projection, signing, timeout_ms, enabled, description)
  on webhook.endpoints to tenant_user;

--@ data v1.webhook_endpoints
select ledger.add_event_source('webhook.endpoints', 'v1.webhook_endpoints', 'admin');

--@ function webhook.require_endpoint(uuid)
create function webhook.require_endpoint(wanted uuid)
returns webhook.endpoints
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  found_endpoint webhook.endpoints;
begin
  if not request.has_tenant_role('admin') then
    perform request.raise_error('role_insufficient', 'only an admin or owner works with webhook endpoints', 'ask an admin of your tenant');
  end if;
  select * into found_endpoint from webhook.endpoints where tenant_id = request.tenant_id() and id = wanted;
  if not found then
    perform request.raise_error('webhook_endpoint_unknown');
  end if;
  return found_endpoint;
end
$$;
comment on function webhook.require_endpoint(uuid) is
  'The sealed tenant''s endpoint, for an admin. Raises role_insufficient, webhook_endpoint_unknown.';

--@ function v1.create_webhook_endpoint(text, text[], text, integer, jsonb, text[], text[], integer, boolean, text)
create function v1.create_webhook_endpoint(
  url text, event_types text[] default '{*}', ordering text default 'none', rate integer default null, headers jsonb default '{}',
  projection text[] default null, signing text[] default '{v1}', timeout_ms integer default 15000, enabled boolean default true,
  description text default '')
returns json
language plpgsql
volatile
security definer -- clients hold no grant on secrets
set search_path = ''
parallel unsafe
as $$
declare
  made webhook.endpoints;
  endpoint_id uuid := uuidv7();
  shown text;
  broken text;
begin
  if not request.has_tenant_role('admin') then
    perform request.raise_error('role_insufficient', 'only an admin or owner makes webhook endpoints', 'ask an admin of your tenant');
  end if;
  perform webhook.check_url(url);
  shown := webhook.add_missing_secrets(endpoint_id, signing);
  insert into webhook.endpoints (id, url, event_types, ordering, rate, headers, projection, signing, timeout_ms, enabled, description,
    disabled_reason, disabled_at)
  values (endpoint_id, create_webhook_endpoint.url, create_webhook_endpoint.event_types, create_webhook_endpoint.ordering,
    create_webhook_endpoint.rate, webhook.keep_headers(endpoint_id, create_webhook_endpoint.headers),
    create_webhook_endpoint.projection, create_webhook_endpoint.signing, create_webhook_endpoint.timeout_ms,
    create_webhook_endpoint.enabled, create_webhook_endpoint.description,
    case when not create_webhook_endpoint.enabled then 'by_request' end, case when not create_webhook_endpoint.enabled then now() end)
  returning * into made;
  insert into webhook.endpoint_states (tenant_id, endpoint_id) values (made.tenant_id, made.id);
  -- Nobody on the way keeps the secret, the edge's Idempotency-Key included.
  set local response.headers = '[{"Cache-Control": "no-store"}]';
  return json_build_object('id', made.id, 'secret', shown, 'url', made.url, 'event_types', made.event_types, 'ordering', made.ordering,
    'rate', made.rate, 'headers', made.headers, 'projection', made.projection, 'signing', made.signing, 'timeout_ms', made.timeout_ms,
    'enabled', made.enabled, 'description', made.description, 'created_by', made.created_by, 'created_at', made.created_at);
exception
  when check_violation or not_null_violation then
    get stacked diagnostics broken = constraint_name;
    perform request.raise_error('webhook_endpoint_invalid', format('%s does not hold', coalesce(nullif(broken, ''), 'a required value')),
      'url: https, without credentials or fragment; event_types: 1 to 100, such as app.jobs.*; ordering: none, subject or endpoint; '
      'rate: 1 to 10000 a second; signing: v1, v1a or both; timeout_ms: 1000 to 30000');
end
$$;
comment on function v1.create_webhook_endpoint(text, text[], text, integer, jsonb, text[], text[], integer, boolean, text) is
$$Make a webhook endpoint

For admins and owners. The answer has the secret (whsec_…), this once. Where it signs with v1a, its public key (whpk_…) appears in
webhook_endpoints a moment later. What each argument means is said there.$$;
grant execute on function v1.create_webhook_endpoint(text, text[], text, integer, jsonb, text[], text[], integer, boolean, text) to tenant_user;

--@ function v1.rotate_webhook_secret(uuid, interval)
create function v1.rotate_webhook_secret(id uuid, overlap interval default '24 hours')
returns json
language plpgsql
volatile
security definer -- clients hold no grant on secrets
set search_path = ''
parallel unsafe
as $$
declare
  endpoint webhook.endpoints := webhook.require_endpoint(rotate_webhook_secret.id);
  until timestamptz := clock_timestamp() + overlap;
  shown text;
begin
  if overlap is null or overlap not between '0' and '7 days' then
    perform request.raise_error('webhook_endpoint_invalid', 'overlap is between 0 and 7 days');
  end if;
  -- Workers see another revision; and it locks: two at once would each leave a key that the other does not see.
  update webhook.endpoints set revision = revision where tenant_id = request.tenant_id() and webhook.endpoints.id = endpoint.id;
  -- Two live secrets at the most: what was rotated out before ends now.
  delete from webhook.endpoint_secrets
  where tenant_id = request.tenant_id() and endpoint_id = endpoint.id and expires_at is not null;
  update webhook.endpoint_secrets set expires_at = until
  where tenant_id = request.tenant_id() and endpoint_id = endpoint.id and kind <> 'header';
  shown := webhook.add_missing_secrets(endpoint.id, endpoint.signing);
  set local response.headers = '[{"Cache-Control": "no-store"}]';
  return json_build_object('id', endpoint.id, 'secret', shown, 'old_secret_expires_at', until);
end
$$;
comment on function v1.rotate_webhook_secret(uuid, interval) is $$Rotate the secret of a webhook endpoint

For admins and owners. The answer has the new secret, this once. Deliveries are signed with both until the overlap has passed, 24 hours by default;
0 ends the old one at once. Where the endpoint signs with v1a, public_keys changes as well.$$;
grant execute on function v1.rotate_webhook_secret(uuid, interval) to tenant_user;

--@ view v1.webhook_deliveries
create view v1.webhook_deliveries with (security_invoker = true) as
  select d.tenant_id, d.endpoint_id, d.position, coalesce(d.payload ->> 'id', 'evt_' || d.position) as event_id, d.event_type, d.subject,
    case
      when d.status <> 'pending' then d.status
      when not e.enabled then 'held'
      when d.next_attempt_at = 'infinity' then 'blocked'
      when d.attempts > d.attempts_before then 'retrying'
      else 'pending'
    end as status,
    d.attempts, nullif(d.next_attempt_at, 'infinity') as next_attempt_at, d.created_at, d.attempted_at, d.dead_at, d.status_code, d.error,
    d.latency_ms, d.response
  from webhook.deliveries as d
  join webhook.endpoints as e on (e.tenant_id, e.id) = (d.tenant_id, d.endpoint_id);
comment on view v1.webhook_deliveries is $$Webhook deliveries

One for each event and endpoint, with its last attempt. For admins and owners. Settled ones are kept for 30 days.
List an endpoint's newest first: ?endpoint_id=eq.…&order=position.desc$$;
comment on column v1.webhook_deliveries.position is 'Of the event: pages are asked for by it.';
comment on column v1.webhook_deliveries.event_id is 'The webhook-id that was sent: the same in every attempt and replay.';
comment on column v1.webhook_deliveries.status is
  'pending; retrying; blocked, by an earlier one of its order; held, while the endpoint is disabled; succeeded; dead.';
comment on column v1.webhook_deliveries.error is 'Why there was no answer, where there was none: such as connect_failed or response_timeout.';
comment on column v1.webhook_deliveries.response is 'The first KiB of the answer.';
grant select on v1.webhook_deliveries to tenant_user;

--@ view v1.webhook_attempts
create view v1.webhook_attempts with (security_invoker = true) as
  select a.tenant_id, a.endpoint_id, a.position, a.attempt, case when a.succeeded then 'succeeded' else 'failed' end as status,
    a.attempted_at, a.status_code, a.error, a.latency_ms, a.response
  from webhook.attempts as a
  join webhook.endpoints as e on (e.tenant_id, e.id) = (a.tenant_id, a.endpoint_id)
  union all
  select d.tenant_id, d.endpoint_id, d.position, d.attempts, 'succeeded', d.attempted_at, d.status_code, d.error, d.latency_ms, d.response
  from webhook.deliveries as d
  join webhook.endpoints as e on (e.tenant_id, e.id) = (d.tenant_id, d.endpoint_id)
  where d.status = 'succeeded';
comment on view v1.webhook_attempts is $$Attempts of webhook deliveries

Every one: ?endpoint_id=eq.…&position=eq.…&order=attempt. For admins and owners.$$;
comment on column v1.webhook_attempts.attempt is 'Counted from 1, over replays.';
grant select on v1.webhook_attempts to tenant_user;

--@ view v1.webhook_blocked_keys
create view v1.webhook_blocked_keys with (security_invoker = true) as
  select d.tenant_id, d.endpoint_id, case when d.ordering_key <> '' then min(d.subject) end as subject, min(d.position) as position, max(d.attempts) as attempts,
    min(d.next_attempt_at) filter (where d.next_attempt_at < 'infinity') as next_attempt_at,
    count(*) filter (where d.next_attempt_at = 'infinity') as waiting
  from webhook.deliveries as d
  join webhook.endpoints as e on (e.tenant_id, e.id) = (d.tenant_id, d.endpoint_id)
  where d.ordering_key is not null and d.next_attempt_at is not null
  group by d.tenant_id, d.endpoint_id, d.ordering_key;
comment on view v1.webhook_blocked_keys is $$What holds ordered endpoints up

Subjects (null: the whole endpoint) whose earliest delivery failed and is tried again, so that later ones wait. For admins and owners.$$;
comment on column v1.webhook_blocked_keys.position is 'Of the delivery that the others wait for.';
comment on column v1.webhook_blocked_keys.waiting is 'Deliveries set aside behind it. Of a whole endpoint, none is: they stay pending.';
grant select on v1.webhook_blocked_keys to tenant_user;

--@ function v1.test_webhook_endpoint(uuid, text)
create function v1.test_webhook_endpoint(id uuid, type text default 'webhook.test')
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

For admins and owners. Events of a range of positions or times that the endpoint asks for are sent again, 100 a second, also those from before it was made
or from while it was disabled; with failed_since, only the dead ones since then. They keep their webhook-id. dry_run: how many it would be.$$;
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

--@ function admin.set_tenant_settings(text, jsonb)
create or replace function admin.set_tenant_settings(id text, settings jsonb)
returns jsonb
language plpgsql
volatile
security definer -- operators hold no grant on the directory
set search_path = ''
parallel unsafe
as $$
declare
  stored tenancy.tenant_settings;
  problem text;
begin
  perform auth.require_operator();
  if not exists (select from tenancy.tenants where tenants.id = set_tenant_settings.id) then
    perform request.raise_error('tenant_unknown');
  end if;
  insert into tenancy.tenant_settings (tenant_id) values (set_tenant_settings.id) on conflict do nothing;
  select * into strict stored from tenancy.tenant_settings as s where s.tenant_id = set_tenant_settings.id for update;
  select name into problem from jsonb_object_keys(settings) as name
  where name in ('tenant_id', 'updated_at') or not to_jsonb(stored) ? name limit 1;
  if found then
    perform request.raise_error('tenant_invalid', format('no setting is called %s', problem), 'the settings are what this function returns');
  end if;
  stored := jsonb_populate_record(stored, settings);
  update tenancy.tenant_settings as s set (
    read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst, rate_shadow, rate_weighted,
    request_concurrency, queue_length, queue_wait, statement_timeout, cache_bytes, open_streams, cache_enabled, uncached_relations,
    cors_origins, pool
  ) = (
    stored.read_rate, stored.read_burst, stored.write_rate, stored.write_burst, stored.expensive_rate,
    stored.expensive_burst, stored.rate_shadow, stored.rate_weighted, stored.request_concurrency,
    stored.queue_length, stored.queue_wait, stored.statement_timeout, stored.cache_bytes, stored.open_streams, stored.cache_enabled,
    stored.uncached_relations, stored.cors_origins, stored.pool
  ) where s.tenant_id = set_tenant_settings.id;
  return to_jsonb(stored) - 'tenant_id' - 'updated_at';
exception
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics problem = constraint_name;
    perform request.raise_error('tenant_invalid', format('%s does not hold', coalesce(nullif(problem, ''), 'the type of a value')));
end
$$;
comment on function admin.set_tenant_settings(text, jsonb) is $$Set a tenant's settings

Changes the members that are given and returns them all; null gives a setting that plans have back to the plan. Edges follow within half a second.$$;
grant execute on function admin.set_tenant_settings(text, jsonb) to operator;

--@ view admin.job_types
create view admin.job_types with (security_invoker = true) as
  select type, description, max_attempts, max_result_bytes, paused_at, registered_at from tenancy.job_types;
comment on view admin.job_types is $$Job types

What workers handle, for every tenant.$$;
comment on column admin.job_types.paused_at is 'Since when no job of the type is started; those that are submitted wait.';
comment on column admin.job_types.registered_at is 'When a worker that handles it last started.';
grant select on admin.job_types to operator;

--@ function tenancy.set_job_type_pause(text, boolean)
create function tenancy.set_job_type_pause(of_type text, paused boolean)
returns setof tenancy.job_types
language plpgsql
volatile
security invoker
rows 1
set search_path = ''
parallel unsafe
as $$
begin
  return query
    update tenancy.job_types set paused_at = case when paused then coalesce(paused_at, now()) end where type = of_type returning *;
  if not found then
    perform request.raise_error('job_type_unknown', format('no worker has registered %s', of_type), 'the types are listed in admin.job_types');
  end if;
end
$$;
comment on function tenancy.set_job_type_pause(text, boolean) is 'Keeps workers from starting jobs of a type, or lets them again. Raises job_type_unknown.';
grant execute on function tenancy.set_job_type_pause(text, boolean) to rowhouse_worker;

--@ function admin.pause_job_type(text)
create function admin.pause_job_type(type text)
returns setof admin.job_types
language plpgsql
volatile
security definer -- operators hold no grant on the table: only these functions
rows 1
set search_path = ''
parallel unsafe
as $$
begin
  perform auth.require_operator();
  return query
    select t.type, t.description, t.max_attempts, t.max_result_bytes, t.paused_at, t.registered_at
    from tenancy.set_job_type_pause(pause_job_type.type, true) as t;
end
$$;
comment on function admin.pause_job_type(text) is $$Pause a job type

Workers start no more jobs of it within seconds; those that run go on, and those that are submitted wait.$$;
grant execute on function admin.pause_job_type(text) to operator;

--@ function admin.resume_job_type(text)
create function admin.resume_job_type(type text)
returns setof admin.job_types
language plpgsql
volatile
security definer -- as admin.pause_job_type()
rows 1
set search_path = ''
parallel unsafe
as $$
begin
  perform auth.require_operator();
  return query
    select t.type, t.description, t.max_attempts, t.max_result_bytes, t.paused_at, t.registered_at
    from tenancy.set_job_type_pause(resume_job_type.type, false) as t;
end
$$;
comment on function admin.resume_job_type(text) is 'Resume a paused job type';
grant execute on function admin.resume_job_type(text) to operator;

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ drop function admin.resume_job_type(text)
drop function admin.resume_job_type(text);

--@ drop function admin.pause_job_type(text)
drop function admin.pause_job_type(text);

--@ drop function tenancy.set_job_type_pause(text, boolean)
drop function tenancy.set_job_type_pause(text, boolean);

--@ drop view admin.job_types
drop view admin.job_types;

--@ drop function v1.redeliver_webhook(uuid, bigint)
drop function v1.redeliver_webhook(uuid, bigint);

--@ drop function v1.replay_webhook_deliveries(uuid, bigint, bigint, timestamptz, timestamptz, timestamptz, boolean)
drop function v1.replay_webhook_deliveries(uuid, bigint, bigint, timestamptz, timestamptz, timestamptz, boolean);

--@ drop function v1.test_webhook_endpoint(uuid, text)
drop function v1.test_webhook_endpoint(uuid, text);

--@ drop view v1.webhook_blocked_keys
drop view v1.webhook_blocked_keys;

--@ drop view v1.webhook_attempts
drop view v1.webhook_attempts;

--@ drop view v1.webhook_deliveries
drop view v1.webhook_deliveries;

--@ drop function v1.rotate_webhook_secret(uuid, interval)
drop function v1.rotate_webhook_secret(uuid, interval);

--@ drop function v1.create_webhook_endpoint(text, text[], text, integer, jsonb, text[], text[], integer, boolean, text)
drop function v1.create_webhook_endpoint(text, text[], text, integer, jsonb, text[], text[], integer, boolean, text);

--@ drop function webhook.require_endpoint(uuid)
drop function webhook.require_endpoint(uuid);

--@ drop data v1.webhook_endpoints
delete from ledger.event_sources where name = 'webhook.endpoints';

--@ drop view v1.webhook_endpoints
drop view v1.webhook_endpoints;

--@ drop function webhook.purge_orphans()
drop function webhook.purge_orphans();

--@ drop function webhook.purge_deliveries()
drop function webhook.purge_deliveries();

--@ drop function webhook.first_position_at(timestamptz)
drop function webhook.first_position_at(timestamptz);

--@ run undo grants ledger.positions
-- Privileges: check by hand that no other object of the book grants the same.
revoke usage on ledger.positions from rowhouse_dispatcher;

--@ drop grants ledger.positions

--@ drop function webhook.send_test(text, uuid, text)
drop function webhook.send_test(text, uuid, text);

--@ drop function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer)
drop function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer);

--@ drop function webhook.publish_key(text, uuid, uuid, text)
drop function webhook.publish_key(text, uuid, uuid, text);

--@ drop function webhook.unpublished_keys()
drop function webhook.unpublished_keys();

--@ drop function webhook.due_endpoints(double precision)
drop function webhook.due_endpoints(double precision);

--@ drop function webhook.disable(text, uuid, text)
drop function webhook.disable(text, uuid, text);

--@ drop data ledger.event_types.webhook
delete from ledger.event_sources where name = 'webhook.endpoint.disabled';

--@ drop function webhook.record(jsonb, jsonb, jsonb, jsonb)
drop function webhook.record(jsonb, jsonb, jsonb, jsonb);

--@ drop function webhook.recordset(jsonb)
drop function webhook.recordset(jsonb);

--@ drop function webhook.skip_entries()
drop function webhook.skip_entries();

--@ drop data ledger.consumers.webhooks
select ledger.remove_consumer('webhooks');

--@ drop function webhook.dispatch(integer, integer, smallint[])
drop function webhook.dispatch(integer, integer, smallint[]);

--@ drop function webhook.claim(uuid[], jsonb)
drop function webhook.claim(uuid[], jsonb);

--@ drop function webhook.next_deliveries(text, uuid, text, integer, bigint)
drop function webhook.next_deliveries(text, uuid, text, integer, bigint);

--@ drop function webhook.project(jsonb, text[])
drop function webhook.project(jsonb, text[]);

--@ drop function webhook.lease_key(uuid)
drop function webhook.lease_key(uuid);

--@ drop function webhook.free_stranded()
drop function webhook.free_stranded();

--@ drop function webhook.free_first(text, uuid)
drop function webhook.free_first(text, uuid);

--@ drop function webhook.line_up(text, uuid, text[], bigint[])
drop function webhook.line_up(text, uuid, text[], bigint[]);

--@ drop data webhook.deliveries
-- The tables go.

--@ drop trigger remove_deliveries on tenancy.tenants
drop trigger remove_deliveries on tenancy.tenants;

--@ drop function webhook.remove_deliveries()
drop function webhook.remove_deliveries();

--@ drop policy "The dispatcher works for every tenant" on webhook.attempts
-- ACCESS EXCLUSIVE on webhook.attempts until commit.
drop policy "The dispatcher works for every tenant" on webhook.attempts;

--@ drop table webhook.attempts
drop table webhook.attempts;

--@ drop policy "The dispatcher works for every tenant" on webhook.deliveries
-- ACCESS EXCLUSIVE on webhook.deliveries until commit.
drop policy "The dispatcher works for every tenant" on webhook.deliveries;

--@ drop table webhook.deliveries
drop table webhook.deliveries;

--@ drop function webhook.ordering_key(text, text)
drop function webhook.ordering_key(text, text);

--@ drop function webhook.key_usage()
drop function webhook.key_usage();

--@ drop function webhook.rewrap_secret(text, uuid, uuid, text, bytea)
drop function webhook.rewrap_secret(text, uuid, uuid, text, bytea);

--@ drop function webhook.outdated_secrets(text, text, uuid, uuid)
drop function webhook.outdated_secrets(text, text, uuid, uuid);

--@ run undo grants webhook.keys
-- Privileges: check by hand that no other object of the book grants the same.
revoke update (key_id, ciphertext) on webhook.endpoint_secrets from rowhouse_dispatcher;
revoke select (key_id, registered_at) on webhook.senders from rowhouse_dispatcher;

--@ drop grants webhook.keys

--@ drop function webhook.keep_headers(uuid, jsonb)
drop function webhook.keep_headers(uuid, jsonb);

--@ drop function webhook.check_url(text)
drop function webhook.check_url(text);

--@ drop function webhook.add_missing_secrets(uuid, text[])
drop function webhook.add_missing_secrets(uuid, text[]);

--@ drop function webhook.add_secret(uuid, text)
drop function webhook.add_secret(uuid, text);

--@ drop function webhook.put_away(uuid, text, text, bytea)
drop function webhook.put_away(uuid, text, text, bytea);

--@ drop policy "The dispatcher works for every tenant" on webhook.endpoint_secrets
-- ACCESS EXCLUSIVE on webhook.endpoint_secrets until commit.
drop policy "The dispatcher works for every tenant" on webhook.endpoint_secrets;

--@ drop policy "The webhook functions keep the sealed tenant's secrets" on webhook.endpoint_secrets
-- ACCESS EXCLUSIVE on webhook.endpoint_secrets until commit.
drop policy "The webhook functions keep the sealed tenant's secrets" on webhook.endpoint_secrets;

--@ drop table webhook.endpoint_secrets
drop table webhook.endpoint_secrets;

--@ drop function webhook.register_sender(text, text, boolean)
drop function webhook.register_sender(text, text, boolean);

--@ drop table webhook.senders
drop table webhook.senders;

--@ run undo grants webhook.dispatcher
-- Privileges: check by hand that no other object of the book grants the same.
revoke select on tenancy.plans from rowhouse_dispatcher;
revoke execute on function request.raise_error(text, text, text) from rowhouse_dispatcher;
revoke usage on schema request from rowhouse_dispatcher;

--@ drop grants webhook.dispatcher

--@ drop trigger guard_endpoint on webhook.endpoints
drop trigger guard_endpoint on webhook.endpoints;

--@ drop function webhook.guard_endpoint()
drop function webhook.guard_endpoint();

--@ drop trigger check_quota on webhook.endpoints
drop trigger check_quota on webhook.endpoints;

--@ drop function webhook.check_quota()
drop function webhook.check_quota();

--@ drop policy "The dispatcher works for every tenant" on webhook.endpoint_states
-- ACCESS EXCLUSIVE on webhook.endpoint_states until commit.
drop policy "The dispatcher works for every tenant" on webhook.endpoint_states;

--@ drop policy "The webhook functions keep the sealed tenant's states" on webhook.endpoint_states
-- ACCESS EXCLUSIVE on webhook.endpoint_states until commit.
drop policy "The webhook functions keep the sealed tenant's states" on webhook.endpoint_states;

--@ drop table webhook.endpoint_states
drop table webhook.endpoint_states;

--@ drop policy "The dispatcher works for every tenant" on webhook.endpoints
-- ACCESS EXCLUSIVE on webhook.endpoints until commit.
drop policy "The dispatcher works for every tenant" on webhook.endpoints;

--@ drop policy "The webhook functions keep the sealed tenant's endpoints" on webhook.endpoints
-- ACCESS EXCLUSIVE on webhook.endpoints until commit.
drop policy "The webhook functions keep the sealed tenant's endpoints" on webhook.endpoints;

--@ drop table webhook.endpoints
drop table webhook.endpoints;

--@ drop function webhook.like_patterns(text[])
drop function webhook.like_patterns(text[]);

--@ drop function v1.emit_event(text, text, jsonb)
drop function v1.emit_event(text, text, jsonb);

--@ drop view v1.event_types
drop view v1.event_types;

--@ drop function v1.event_position(timestamptz)
drop function v1.event_position(timestamptz);

--@ drop view v1.events
drop view v1.events;

--@ drop data v1.api_keys
delete from ledger.event_sources where name = 'auth.api_keys';

--@ drop data v1.tenant
delete from ledger.event_sources where name = 'tenancy.tenants';

--@ drop function app.fail_schedule(uuid, timestamptz, timestamptz, jsonb)
drop function app.fail_schedule(uuid, timestamptz, timestamptz, jsonb);

--@ drop function app.run_schedule(uuid, timestamptz, timestamptz, timestamptz)
drop function app.run_schedule(uuid, timestamptz, timestamptz, timestamptz);

--@ drop function ledger.due_schedules(integer)
drop function ledger.due_schedules(integer);

--@ run undo grants app.job_runs
-- Privileges: check by hand that no other object of the book grants the same.
revoke execute on function app.require_lease(uuid, integer), app.start_job(uuid), app.report_progress(uuid, integer, jsonb), app.record_findings(uuid, integer, jsonb), app.create_output_file(uuid, integer, text, text, text), app.finish_job(uuid, integer, text, jsonb, jsonb), app.requeue_job(uuid, integer, jsonb), app.abandon_job(uuid, jsonb), app.redrive_job(uuid, timestamptz) from rowhouse_worker;

--@ drop function app.redrive_job(uuid, timestamptz)
drop function app.redrive_job(uuid, timestamptz);

--@ drop trigger check_schedule_quota on app.job_schedules
drop trigger check_schedule_quota on app.job_schedules;

--@ drop function app.check_schedule_quota()
drop function app.check_schedule_quota();

--@ drop trigger guard_job_schedule on app.job_schedules
drop trigger guard_job_schedule on app.job_schedules;

--@ drop function app.guard_job_schedule()
drop function app.guard_job_schedule();

--@ drop policy "The quota counts the tenant's schedules" on app.job_schedules
-- ACCESS EXCLUSIVE on app.job_schedules until commit.
drop policy "The quota counts the tenant's schedules" on app.job_schedules;

--@ drop policy "The dispatcher sees when any tenant's schedules are due" on app.job_schedules
-- ACCESS EXCLUSIVE on app.job_schedules until commit.
drop policy "The dispatcher sees when any tenant's schedules are due" on app.job_schedules;

--@ drop table app.job_schedules
drop view v1.job_schedules;
drop table app.job_schedules;

--@ drop function app.is_time_zone(text)
drop function app.is_time_zone(text);

--@ drop function app.cron_problem(text)
drop function app.cron_problem(text);

--@ drop function app.cron_values(text, integer, integer, text[])
drop function app.cron_values(text, integer, integer, text[]);

--@ run undo grants ledger.stream
-- Privileges: check by hand that no other object of the book grants the same.
set role rowhouse_sealer;
revoke execute on function auth.verified_seal() from rowhouse_dispatcher;
set role rowhouse_owner;
revoke execute on function ledger.slot(text), request.tenant_id(), request.seal(), request.tenant_required(), request.raise_error(text, text, text) from rowhouse_dispatcher;
revoke usage on schema request, auth from rowhouse_dispatcher;

--@ drop grants ledger.stream

--@ drop function ledger.review_tokens(text[])
drop function ledger.review_tokens(text[]);

--@ drop function ledger.read_streams(jsonb, integer)
drop function ledger.read_streams(jsonb, integer);

--@ drop function ledger.open_stream(text, bigint, bigint)
drop function ledger.open_stream(text, bigint, bigint);

--@ drop function ledger.enter_stream(text)
drop function ledger.enter_stream(text);

--@ drop function ledger.require_entry(bigint)
drop function ledger.require_entry(bigint);

--@ drop function ledger.has_entry(bigint)
drop function ledger.has_entry(bigint);

--@ drop function ledger.stream_window(bigint, bigint, integer)
drop function ledger.stream_window(bigint, bigint, integer);

--@ drop function ledger.rewind(text, bigint)
drop function ledger.rewind(text, bigint);

--@ drop function ledger.lag()
drop function ledger.lag();

--@ drop function ledger.prepared_writer(smallint)
drop function ledger.prepared_writer(smallint);

--@ drop function ledger.doze(text, smallint[])
drop function ledger.doze(text, smallint[]);

--@ drop function ledger.release(text)
drop function ledger.release(text);

--@ drop function ledger.advance(text, smallint[], bigint[])
drop function ledger.advance(text, smallint[], bigint[]);

--@ drop function ledger.take(text, integer, integer)
drop function ledger.take(text, integer, integer);

--@ drop function ledger.claim(text, integer, integer, smallint[])
drop function ledger.claim(text, integer, integer, smallint[]);

--@ drop function ledger.is_behind(text, bigint, smallint[])
drop function ledger.is_behind(text, bigint, smallint[]);

--@ drop data ledger.consumers
set role rowhouse_dispatcher;
select set_config('rowhouse.kept_cursors', (select jsonb_object_agg(slot, coalesce(pg_sequence_last_value(ledger.cursor('jobs', slot)), 0))::text from generate_series(0, 15) as slot), true);
set role rowhouse_owner;
select ledger.remove_consumer('jobs');
-- Before ledger.history(), which one of them calls.
alter table ledger.consumers drop column marks, drop column marked_at, drop column marked_on, drop column marked_by;

--@ drop function ledger.keep_marks()
drop function ledger.keep_marks();

--@ drop function ledger.recognise_history()
drop function ledger.recognise_history();

--@ drop function ledger.cursors(text)
drop function ledger.cursors(text);

--@ drop function ledger.set_marks(text, bigint[])
drop function ledger.set_marks(text, bigint[]);

--@ drop function ledger.remove_consumer(text)
drop function ledger.remove_consumer(text);

--@ drop function ledger.add_consumer(text, text[], bigint)
drop function ledger.add_consumer(text, text[], bigint);

--@ drop function ledger.slots(text, bigint)
drop function ledger.slots(text, bigint);

--@ drop function ledger.cursor_key(text, integer)
drop function ledger.cursor_key(text, integer);

--@ drop function ledger.cursor(text, integer)
drop function ledger.cursor(text, integer);

--@ drop function ledger.history()
drop function ledger.history();

--@ drop function ledger.position_at(timestamptz)
drop function ledger.position_at(timestamptz);

--@ drop function ledger.emit_event(text, text, jsonb)
drop function ledger.emit_event(text, text, jsonb);

--@ drop function ledger.append_event(text, text, text, jsonb)
drop function ledger.append_event(text, text, text, jsonb);

--@ run undo grants ledger.events
-- Privileges: check by hand that no other object of the book grants the same.
revoke select (tenant_id, position, slot, occurred_at, table_name, operation, row_id, changed, old, new, subject, trace_id) on ledger.entries from tenant_user;
revoke select on ledger.events from tenant_user;

--@ drop grants ledger.events

--@ drop policy "A member reads the rows of their tenant" on ledger.entries
-- ACCESS EXCLUSIVE on ledger.entries until commit.
drop policy "A member reads the rows of their tenant" on ledger.entries;
-- As protect() had made it.
create policy "A member reads the rows of their tenant" on ledger.entries
  for select to tenant_user
  using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('viewer')));

--@ drop function ledger.declared_sources()
drop function ledger.declared_sources();

--@ drop function ledger.readable_sources()
drop function ledger.readable_sources();

--@ drop view ledger.events
drop view ledger.events;

--@ drop function ledger.trace_parent(text, bigint)
drop function ledger.trace_parent(text, bigint);

--@ drop function ledger.columns_at(text[], bigint[], bigint)
drop function ledger.columns_at(text[], bigint[], bigint);

--@ drop function ledger.earlier_columns(text[], bigint[], bigint)
drop function ledger.earlier_columns(text[], bigint[], bigint);

--@ drop function ledger.shown(jsonb, text[])
drop function ledger.shown(jsonb, text[]);

--@ drop function ledger.picked(jsonb, text[])
drop function ledger.picked(jsonb, text[]);

--@ drop function ledger.event_type(text, text)
drop function ledger.event_type(text, text);

--@ drop function ledger.declare_event_type(text, text, jsonb, text)
drop function ledger.declare_event_type(text, text, jsonb, text);

--@ drop function ledger.add_event_source(regclass, regclass, text, text[])
drop function ledger.add_event_source(regclass, regclass, text, text[]);

--@ drop function ledger.keep_event_source(ledger.event_sources)
drop function ledger.keep_event_source(ledger.event_sources);

--@ drop table ledger.past_event_schemas
drop table ledger.past_event_schemas;

--@ drop view ledger.sources
drop view ledger.sources;

--@ drop table ledger.event_sources
drop table ledger.event_sources;

--@ drop function ledger.row_schema(regclass, regclass, text[])
drop function ledger.row_schema(regclass, regclass, text[]);

--@ drop function ledger.json_schema(oid, boolean)
drop function ledger.json_schema(oid, boolean);

--@ drop function ledger.policy_role(regclass)
drop function ledger.policy_role(regclass);

--@ drop function ledger.plain_condition(text)
drop function ledger.plain_condition(text);

--@ drop function ledger.row_version(tid, xid)
drop function ledger.row_version(tid, xid);

--@ drop function ledger.plain_columns(regclass, regclass)
drop function ledger.plain_columns(regclass, regclass);

--@ drop function ledger.shows_each_row(regclass, regclass)
drop function ledger.shows_each_row(regclass, regclass);

--@ drop function ledger.view_words(regclass)
drop function ledger.view_words(regclass);

--@ drop data ledger.positions
-- The sequence stays where it is.

--@ drop policy "The ledger's functions append" on ledger.entries
-- ACCESS EXCLUSIVE on ledger.entries until commit.
drop policy "The ledger's functions append" on ledger.entries;

--@ drop function tenancy.readable_rows(text)
drop function tenancy.readable_rows(text);

--@ drop function tenancy.own_rows()
drop function tenancy.own_rows();

--@ run undo grants request.context
-- Privileges: check by hand that no other object of the book grants the same.
revoke execute on function request.seal(), request.tenant_id(), request.has_tenant_role(text), request.tenant_role(), request.role(), request.subject(), request.token_id(), request.header(text), request.traceparent() from tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;

--@ drop view request.error_codes
drop view request.error_codes;

--@ drop schema webhook
drop schema webhook;

--@ view request.error_codes
create view request.error_codes (code, status, title) as values
  ('token_required',       401, 'A bearer token is required'),
  ('token_invalid',        401, 'The token is not valid'),
  ('token_expired',        401, 'The token has expired'),
  ('tenant_required',      400, 'This call needs a tenant'),
  ('tenant_unknown',       404, 'No such tenant'),
  ('tenant_mismatch',      403, 'The token belongs to another tenant'),
  ('tenant_suspended',     403, 'The tenant is suspended'),
  ('tenant_exists',        409, 'A tenant with this id or slug exists'),
  ('tenant_invalid',       422, 'The tenant is not valid'),
  ('context_sealed',       403, 'The transaction is sealed for another context'),
  ('membership_required',  403, 'The subject is not a member of the tenant'),
  ('role_insufficient',    403, 'The role does not allow this'),
  ('owner_required',       409, 'A tenant keeps at least one owner'),
  ('count_inexact',        400, 'Only exact counts are answered'),
  ('key_unknown',          404, 'No such signing key'),
  ('api_key_invalid',      401, 'The API key is not valid'),
  ('api_key_unknown',      404, 'No such API key'),
  ('api_key_malformed',    422, 'The API key cannot be made like this'),
  ('address_refused',      403, 'Not allowed from this address'),
  ('scope_insufficient',   403, 'The API key''s scopes do not allow this'),
  ('file_not_found',       404, 'No such file'),
  ('file_exists',          409, 'The file is already stored'),
  ('upload_checksum',      422, 'The body does not have the announced checksum'),
  ('job_not_found',        404, 'No such job'),
  ('job_type_unknown',     422, 'No such job type'),
  ('job_transition',       409, 'The job cannot change to this status'),
  ('request_invalid',      400, 'The request is not valid'),
  ('idempotency_conflict', 409, 'The idempotency key was used with another body'),
  ('idempotency_key_invalid', 400, 'The Idempotency-Key is not valid'),
  ('idempotency_in_flight', 409, 'A request with this Idempotency-Key is being carried out'),
  ('idempotency_mismatch', 422, 'The Idempotency-Key was used for another request'),
  ('idempotency_answer_lost', 409, 'The request was carried out before; its answer is not kept'),
  ('lease_lost',           409, 'Another attempt runs this job now');
comment on view request.error_codes is 'Every error code that SQL raises. docs/errors.md explains each; a test compares both ways.';

--@ table tenancy.plans
-- At the end, after the functions that read them.
--= create table tenancy.plans (
--=   tier text collate "C" not null,
--=   job_concurrency integer not null,
--=   description text not null,
--=   read_rate integer not null,
--=   read_burst integer not null,
--=   write_rate integer not null,
--=   write_burst integer not null,
--=   expensive_rate integer not null,
--=   expensive_burst integer not null,
--=   request_concurrency integer not null,
--=   queue_length integer not null,
--=   queue_wait interval not null,
--=   statement_timeout interval not null,
--=   cache_bytes bigint not null,
--=   pool text collate "C",
--=   constraint plans_pkey primary key (tier),
--=   constraint plans_job_concurrency_positive check (job_concurrency > 0),
--=   constraint plans_rates_positive check (least(read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst) > 0),
--=   constraint plans_requests_positive check (request_concurrency > 0 and queue_length >= 0),
--=   constraint plans_queue_wait_range check (queue_wait between '0' and '1 minute'),
--=   constraint plans_statement_timeout_range check (statement_timeout between '10 ms' and '1 hour'),
--=   constraint plans_cache_bytes_not_negative check (cache_bytes >= 0)
--= );
--= comment on table tenancy.plans is 'What a tenant of each tier may use. tenancy.tenant_settings has the exceptions.';
--= comment on column tenancy.plans.job_concurrency is 'Jobs of one tenant that run at the same time.';
--= comment on column tenancy.plans.read_rate is 'Tokens that the tenant''s bucket gains each second: GET and HEAD.';
--= comment on column tenancy.plans.read_burst is 'Tokens that the bucket holds.';
--= comment on column tenancy.plans.write_rate is 'As read_rate, for requests that write.';
--= comment on column tenancy.plans.expensive_rate is 'As read_rate, for function calls and exact counts.';
--= comment on column tenancy.plans.request_concurrency is 'Requests of one tenant that one edge has in flight at the same time.';
--= comment on column tenancy.plans.queue_length is 'Requests that wait for one of those, for at most queue_wait.';
--= comment on column tenancy.plans.statement_timeout is 'How long one statement of a request may run.';
--= comment on column tenancy.plans.cache_bytes is 'What one edge keeps of the tenant''s answers.';
--= comment on column tenancy.plans.pool is 'The pool of tenancy.pools that the tier is served from; null for the shared ones.';
--= grant select on tenancy.plans to rowhouse_worker, operator;

--@ data tenancy.plans
-- The columns are gone.
--= insert into tenancy.plans (tier, job_concurrency, description, read_rate, read_burst, write_rate, write_burst,
--=   expensive_rate, expensive_burst, request_concurrency, queue_length, queue_wait, statement_timeout, cache_bytes)
--= values
--=   ('free', 1, 'One job at a time, 50 reads a second', 50, 100, 10, 20, 5, 10, 2, 16, '2 s', '5 s', 1048576),
--=   ('standard', 2, 'Two jobs at a time, 500 reads a second', 500, 1000, 100, 200, 50, 100, 4, 64, '2 s', '10 s', 8388608),
--=   ('enterprise', 8, 'Eight jobs at a time, 5,000 reads a second', 5000, 10000, 1000, 2000, 500, 1000, 8, 256, '2 s', '15 s', 67108864);

--@ grants request.context
grant execute on function
  request.seal(), request.tenant_id(), request.has_tenant_role(text), request.tenant_role(), request.role(),
  request.subject(), request.token_id(), request.header(text)
  to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;

--@ function tenancy.add_policies(regclass, text, text, text)
create or replace function tenancy.add_policies(target regclass, read_role text, write_role text, write_condition text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  -- Twice the same test. The second finds the index and prunes partitions when the statement starts. The first is there because
  -- PostgreSQL runs a leakproof condition of the caller (name = …) before a policy that costs more, and a condition that raises
  -- an error for a match then tells what other tenants store. `= any (array[…])` costs half an operator, so no comparison is
  -- cheaper, and it forms no equivalence class, so it stays in front (order_qual_clauses in PostgreSQL's createplan.c). The array
  -- holds the column, not the tenant: a condition that prunes once more while running makes PostgreSQL 18.4 lose an update
  -- that had to wait for another (test/sql/policies.test.ts).
  own_tenant constant text := '(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()';
  -- In a sub-select, it is evaluated once.
  may_read constant text := own_tenant || format(' and (select request.has_tenant_role(%L))', read_role);
  -- A restrictive policy would come before these, and keep the tenant from being searched for in an index.
  as_writer constant text := format(' and (select request.has_tenant_role(%L))', write_role) || coalesce(' and (' || write_condition || ')', '');
  may_write constant text := own_tenant || as_writer;
  -- No condition of the caller sees a new row before this does, and nothing is pruned by it.
  may_add constant text := 'tenant_id = (select request.tenant_id())' || as_writer;
begin
  perform tenancy.add_policy(target, 'A member reads the rows of their tenant', 'select', 'tenant_user', may_read);
  perform tenancy.add_policy(target, 'A writer adds rows to their tenant', 'insert', 'tenant_user', may_add);
  perform tenancy.add_policy(target, 'A writer changes rows of their tenant', 'update', 'tenant_user', may_write);
  perform tenancy.add_policy(target, 'A writer deletes rows of their tenant', 'delete', 'tenant_user', may_write);
  perform tenancy.add_policy(target, 'A service works within its sealed tenant', 'all', 'rowhouse_worker, rowhouse_edge', own_tenant);
end
$$;
comment on function tenancy.add_policies(regclass, text, text, text) is 'Part of protect(): one policy for each verb and kind of role.';

--@ function tenancy.expose(regclass, text[], text[])
create or replace function tenancy.expose(target regclass, client_verbs text[], server_columns text[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  table_name text := (select relname from pg_catalog.pg_class where oid = target);
  every_column text;
  client_columns text;
  relation text;
  described record;
begin
  select string_agg(quote_ident(attname), ', ' order by attnum),
         string_agg(quote_ident(attname), ', ' order by attnum) filter (
           where attname <> all (server_columns || '{created_at,updated_at}'::text[]) and attgenerated = '')
  into every_column, client_columns
  from pg_catalog.pg_attribute where attrelid = target and attnum > 0 and not attisdropped;

  execute format('create or replace view v1.%I with (security_invoker = true) as select %s from %s', table_name, every_column, target);
  execute format('comment on view v1.%I is %L', table_name, pg_catalog.obj_description(target, 'pg_class'));
  for described in
    select attname, pg_catalog.col_description(target, attnum) as says from pg_catalog.pg_attribute
    where attrelid = target and attnum > 0 and not attisdropped and pg_catalog.col_description(target, attnum) is not null
  loop
    execute format('comment on column v1.%I.%I is %L', table_name, described.attname, described.says);
  end loop;
  foreach relation in array array[target::text, format('v1.%I', table_name)] loop
    execute format('revoke insert, update, delete on %s from tenant_user', relation);
    execute format('grant select on %s to tenant_user', relation);
    if 'insert' = any (client_verbs) then
      execute format('grant insert (%s) on %s to tenant_user', client_columns, relation);
    end if;
    if 'update' = any (client_verbs) then
      execute format('grant update (%s) on %s to tenant_user', client_columns, relation);
    end if;
    if 'delete' = any (client_verbs) then
      execute format('grant delete on %s to tenant_user', relation);
    end if;
  end loop;
end
$$;
comment on function tenancy.expose(regclass, text[], text[]) is
  'Part of protect(): the v1 view, and the grants of exactly what clients may do with it and with the table beneath.';

--@ table ledger.entries
-- What was emitted has no place there. Nobody may delete: for this one statement the owner may.
create policy "Emitted events are taken back" on ledger.entries for all to rowhouse_owner using (operation = 'emit');
grant delete on ledger.entries to rowhouse_owner;
delete from ledger.entries where operation = 'emit';
revoke delete on ledger.entries from rowhouse_owner;
drop policy "Emitted events are taken back" on ledger.entries;
drop index ledger.entries_follow_idx;
create index entries_follow_idx on ledger.entries (transaction_id);
revoke update on ledger.positions from rowhouse_dispatcher;
comment on column ledger.entries.occurred_at is null;
alter table ledger.entries
  alter column row_id set not null,
  drop column leads,
  drop constraint entries_operation_known,
  add constraint entries_operation_known check (operation in ('insert', 'update', 'delete'));
comment on column ledger.entries.table_name is null;
comment on column ledger.entries.row_id is 'The primary key without the tenant; a JSON array where it has several columns.';
comment on column ledger.entries.transaction_id is null;
revoke execute on function ledger.slot(text) from rowhouse_dispatcher;
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
--=
--= create table ledger.entries (
--=   tenant_id tenancy.tenant_id not null,
--=   position bigint not null default nextval('ledger.positions'),
--=   slot smallint not null,
--=   transaction_id xid8 not null default pg_current_xact_id(),
--=   occurred_at timestamptz not null default clock_timestamp(),
--=   table_name text collate "C" not null,
--=   operation text collate "C" not null,
--=   row_id text not null,
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
--=   constraint entries_pkey primary key (tenant_id, position),
--=   constraint entries_operation_known check (operation in ('insert', 'update', 'delete')),
--=   -- ledger.slot(), written out: a function would be prepared anew in each statement, 11 µs, this takes 3.
--=   constraint entries_slot_of_tenant check (slot = (hashtextextended(tenant_id, 0) & 15))
--= ) partition by hash (tenant_id);
--= comment on table ledger.entries is 'Every change of tenant data: who, what, when, where, before and after. Append-only for everyone.';
--= comment on column ledger.entries.position is 'Order within the tenant: drawn while the changed rows were locked.';
--= -- Not generated: PostgreSQL would prepare the expression anew in each statement, 23 µs, a third of what the ledger costs an insert.
--= comment on column ledger.entries.slot is 'ledger.slot(tenant_id).';
--= comment on column ledger.entries.row_id is 'The primary key without the tenant; a JSON array where it has several columns.';
--= comment on column ledger.entries.address is 'From X-Forwarded-For: what the edge saw, or what a client that went past it claims.';
--= select tenancy.protect('ledger.entries', partitions => 16, ledger => false);
--=
--= -- This index does not lead with the tenant: the dispatcher reads a slot's tenants together, in order.
--= create index entries_dispatch_idx on ledger.entries (slot, position);
--=
--= -- Nor does this one: what transactions have committed since a snapshot, of whichever tenant (ledger.changes_after).
--= create index entries_follow_idx on ledger.entries (transaction_id);

--@ policy "The ledger's functions append" on ledger.entries
create policy "The ledger's functions append" on ledger.entries
  for insert to rowhouse_owner with check (true);

-- Append-only for the owner, too, who could otherwise truncate it.
revoke update, delete, truncate on ledger.entries from rowhouse_owner;
grant select on ledger.entries, ledger.positions to rowhouse_dispatcher;

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
<<called>>
declare
  source text := format('%I.%I', tg_table_schema, tg_table_name);
  -- Written `called.…` beside the table's own columns, which may have any name.
  tenant_column text := tg_argv[0];
  key_columns text[] := tg_argv[1]::text[];
  -- Null: what the name means in a table that has no such column. The column itself is cheaper to read than the row as JSON.
  tenant_id tenancy.tenant_id;
begin
  -- Before a position is drawn, see ledger.announce().
  if tg_op = 'INSERT' then
    perform ledger.announce(slot) from (
      select distinct ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> called.tenant_column)) from new_rows as r) as slots (slot);
  elsif tg_op = 'DELETE' then
    perform ledger.announce(slot) from (
      select distinct ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> called.tenant_column)) from old_rows as r) as slots (slot);
  else
    perform ledger.announce(slot) from (
      select ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> called.tenant_column)) from old_rows as r union
      select ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> called.tenant_column)) from new_rows as r) as slots (slot);
  end if;
  if not found then
    return null;
  elsif ledger.has_sleeper() then
    notify ledger_wake;
  end if;

  -- `offset 0`: each row becomes JSON once.
  if tg_op = 'INSERT' then
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, new,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select n.tenant_id, ledger.slot(n.tenant_id), source, 'insert', ledger.row_key(n.body, key_columns), n.body, origin.*
    from ledger.origin() as origin
    cross join (
      select coalesce(tenant_id, (to_jsonb(r.*) ->> called.tenant_column)::tenancy.tenant_id), to_jsonb(r.*) from new_rows as r offset 0
    ) as n (tenant_id, body);
  elsif tg_op = 'DELETE' then
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, old,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select o.tenant_id, ledger.slot(o.tenant_id), source, 'delete', ledger.row_key(o.body, key_columns), o.body, origin.*
    from ledger.origin() as origin
    cross join (
      select coalesce(tenant_id, (to_jsonb(r.*) ->> called.tenant_column)::tenancy.tenant_id), to_jsonb(r.*) from old_rows as r offset 0
    ) as o (tenant_id, body);
  else
    -- A row whose key changed has no partner: it is one row deleted and another inserted.
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, changed, old, new,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select changes.tenant_id, ledger.slot(changes.tenant_id), source,
      case when before is null then 'insert' when after is null then 'delete' else 'update' end, row_id,
      case when before is not null and after is not null then
        array(select key from jsonb_each(after) where value is distinct from before -> key) end,
      before, after, origin.*
    from ledger.origin() as origin
    cross join (
      (select o.tenant_id, ledger.row_key(o.body, called.key_columns), o.body from (
        select coalesce(tenant_id, (to_jsonb(r.*) ->> called.tenant_column)::tenancy.tenant_id), to_jsonb(r.*) from old_rows as r offset 0
      ) as o (tenant_id, body)) as o (tenant_id, row_id, before)
      full join
      (select n.tenant_id, ledger.row_key(n.body, called.key_columns), n.body from (
        select coalesce(tenant_id, (to_jsonb(r.*) ->> called.tenant_column)::tenancy.tenant_id), to_jsonb(r.*) from new_rows as r offset 0
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

--@ table tenancy.tenant_settings
-- At the end, after the functions that read them.
--= create table tenancy.tenant_settings (
--=   tenant_id tenancy.tenant_id not null,
--=   read_rate integer,
--=   read_burst integer,
--=   write_rate integer,
--=   write_burst integer,
--=   expensive_rate integer,
--=   expensive_burst integer,
--=   rate_shadow boolean not null default false,
--=   rate_weighted boolean not null default false,
--=   request_concurrency integer,
--=   queue_length integer,
--=   queue_wait interval,
--=   statement_timeout interval,
--=   cache_bytes bigint,
--=   cache_enabled boolean not null default true,
--=   uncached_relations text[] not null default '{}',
--=   cors_origins text[] not null default '{}',
--=   pool text collate "C",
--=   updated_at timestamptz not null default now(),
--=   constraint tenant_settings_pkey primary key (tenant_id),
--=   constraint tenant_settings_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
--=   constraint tenant_settings_rates_positive
--=     check (least(read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst) > 0),
--=   constraint tenant_settings_requests_positive check (request_concurrency > 0 and queue_length >= 0),
--=   constraint tenant_settings_queue_wait_range check (queue_wait between '0' and '1 minute'),
--=   constraint tenant_settings_statement_timeout_range check (statement_timeout between '10 ms' and '1 hour'),
--=   constraint tenant_settings_cache_bytes_not_negative check (cache_bytes >= 0),
--=   constraint tenant_settings_cors_origins_form check (
--=     array_to_string(cors_origins, ' ', '?') ~ '^(https?://[A-Za-z0-9.:-]+( https?://[A-Za-z0-9.:-]+)*)?$')
--= ) partition by hash (tenant_id);
--= comment on table tenancy.tenant_settings is 'Where one tenant differs from its plan. Null: as the plan says.';
--= comment on column tenancy.tenant_settings.rate_shadow is 'Limits are counted and logged, and let everything through.';
--= comment on column tenancy.tenant_settings.rate_weighted is 'A large answer costs more than one token.';
--= comment on column tenancy.tenant_settings.uncached_relations is 'Relations of v1 whose rows edges do not keep.';
--= comment on column tenancy.tenant_settings.cors_origins is 'Origins whose pages may call the API for this tenant.';
--= -- One partition: there is at most one row for each tenant, and whoever lists settings reads all.
--= select tenancy.protect('tenancy.tenant_settings', partitions => 1);

--@ function tenancy.settings_of(text)
create or replace function tenancy.settings_of(tenant_id text)
returns jsonb
language sql
stable
security definer -- the edge holds no grant on the directory
set search_path = ''
parallel safe
begin atomic
  select jsonb_build_object(
    'tenantId', t.id, 'slug', t.slug, 'status', t.status, 'tier', t.tier,
    'limits', jsonb_build_object(
      'read', jsonb_build_object('rate', coalesce(s.read_rate, p.read_rate), 'burst', coalesce(s.read_burst, p.read_burst)),
      'write', jsonb_build_object('rate', coalesce(s.write_rate, p.write_rate), 'burst', coalesce(s.write_burst, p.write_burst)),
      'expensive', jsonb_build_object(
        'rate', coalesce(s.expensive_rate, p.expensive_rate), 'burst', coalesce(s.expensive_burst, p.expensive_burst))),
    'shadow', coalesce(s.rate_shadow, false),
    'weighted', coalesce(s.rate_weighted, false),
    'concurrency', coalesce(s.request_concurrency, p.request_concurrency),
    'queue', coalesce(s.queue_length, p.queue_length),
    'queueMs', extract(epoch from coalesce(s.queue_wait, p.queue_wait)) * 1000,
    'statementTimeoutMs', extract(epoch from coalesce(s.statement_timeout, p.statement_timeout)) * 1000,
    'cacheBytes', coalesce(s.cache_bytes, p.cache_bytes),
    'cacheEnabled', coalesce(s.cache_enabled, true),
    'uncachedTables', to_jsonb(coalesce(s.uncached_relations, '{}')),
    'corsOrigins', to_jsonb(coalesce(s.cors_origins, '{}')),
    'pool', coalesce(s.pool, p.pool))
  from tenancy.tenants as t
  join tenancy.plans as p on p.tier = t.tier
  left join tenancy.tenant_settings as s on s.tenant_id = t.id
  where t.id = settings_of.tenant_id;
end;
comment on function tenancy.settings_of(text) is
  'What an edge has to know of a tenant: its plan with the tenant''s own settings over it. Null where there is no such tenant.';
grant execute on function tenancy.settings_of(text) to rowhouse_edge;

--@ function ledger.changes_after(pg_snapshot)
set role rowhouse_dispatcher;
create or replace function ledger.changes_after(seen pg_snapshot)
returns table (snapshot pg_snapshot, tenant_id text, table_name text)
language plpgsql
stable
security definer -- reads that rows of any tenant have changed, never what is in them
set search_path = ''
-- Planning 16 partitions each time costs four times as much as reading them. The generic plan guesses that a third of all entries
-- are new, so it has to be kept from reading them all.
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
begin
  return query select pg_current_snapshot(), null::text, null::text;
  if pg_current_snapshot()::text = seen::text then
    return;
  end if;
  -- What committed in between: transactions that began after that snapshot, and those that it saw running and that have ended.
  return query
    select null::pg_snapshot, changed.tenant_id, changed.table_name
    from (
      select tenant_id::text, table_name from ledger.entries where transaction_id >= pg_snapshot_xmax(seen)
      union
      select null, table_name from tenancy.directory_changes where transaction_id >= pg_snapshot_xmax(seen)
      union
      select entry.tenant_id::text, entry.table_name
      from pg_snapshot_xip(seen) as running
      join ledger.entries as entry on entry.transaction_id = running
      where pg_visible_in_snapshot(running, pg_current_snapshot())
      union
      select null, entry.table_name
      from pg_snapshot_xip(seen) as running
      join tenancy.directory_changes as entry on entry.transaction_id = running
      where pg_visible_in_snapshot(running, pg_current_snapshot())
    ) as changed;
end
$$;
comment on function ledger.changes_after(pg_snapshot) is
  'The first row is this statement''s snapshot; the others say which tables of which tenants have changed, visibly now, since the '
  'snapshot `seen`; the tenant is null for what belongs to none. Exact: nothing that committed in between is missing, whatever '
  'ran at the time.';
grant execute on function ledger.changes_after(pg_snapshot) to rowhouse_edge;
set role rowhouse_owner;

--@ table tenancy.job_types
comment on table tenancy.job_types is 'The job types that workers handle, one file each in functions/jobs: the same for every tenant.';
revoke select on tenancy.job_types from operator;
--= create table tenancy.job_types (
--=   type text collate "C" not null,
--=   description text not null,
--=   registered_at timestamptz not null default now(),
--=   constraint job_types_pkey primary key (type),
--=   constraint job_types_form check (type ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$' and length(type) <= 60)
--= );
--= comment on table tenancy.job_types is 'The job types that workers handle, one file each in functions/jobs: the same for every tenant.';
--= grant select on tenancy.job_types to tenant_user, rowhouse_worker;
--= grant insert (type, description), update (description, registered_at) on tenancy.job_types to rowhouse_worker;

--@ table ledger.consumers
alter table ledger.consumers
  alter column tables set not null,
  drop constraint consumers_consumer_form;
comment on table ledger.consumers is 'Who follows the ledger, and the tables whose entries it is given.';
comment on column ledger.consumers.tables is null;
revoke insert, delete on ledger.consumers from rowhouse_dispatcher;
--= create table ledger.consumers (
--=   consumer text collate "C" not null,
--=   tables text[] not null,
--=   constraint consumers_pkey primary key (consumer)
--= );
--= comment on table ledger.consumers is 'Who follows the ledger, and the tables whose entries it is given.';
--= grant select on ledger.consumers to rowhouse_dispatcher;

--@ table ledger.cursors
create table ledger.cursors (
  consumer text collate "C" not null,
  slot smallint not null,
  position bigint not null default 0,
  updated_at timestamptz not null default now(),
  constraint cursors_pkey primary key (consumer, slot),
  constraint cursors_consumer_fkey foreign key (consumer) references ledger.consumers (consumer) on delete cascade,
  constraint cursors_slot_range check (slot between 0 and 15),
  constraint cursors_position_not_negative check (position >= 0)
) with (fillfactor = 50); -- every advance is a HOT update
comment on table ledger.cursors is 'How far each consumer has followed the ledger, slot by slot. Consumers share work by locking rows.';
grant select, update on ledger.cursors to rowhouse_dispatcher;

--@ data ledger.cursors
insert into ledger.consumers (consumer, tables) values ('jobs', '{app.jobs,app.files}');
insert into ledger.cursors (consumer, slot) select 'jobs', generate_series(0, 15);
-- From here on last_value is a position that was drawn, which the dispatcher's arithmetic relies on.
select nextval('ledger.positions');

--@ function ledger.take(text, integer, integer)
set role rowhouse_dispatcher;
create function ledger.take(consumer text, max_slots integer, max_entries integer)
returns table (slot smallint, "position" bigint, tenant_id text, tier text, table_name text, operation text, row_id text, old jsonb, new jsonb)
language plpgsql
volatile
security definer -- the dispatcher reads every tenant's entries; its caller reads none
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_column
declare
  tables text[] := (select c.tables from ledger.consumers as c where c.consumer = take.consumer);
  drawn bigint := (select last_value from ledger.positions);
  cursor_row ledger.cursors;
  settled bigint;
  returned bigint;
  last_returned bigint;
begin
  -- The sequence, the writers' locks and the entries have to be read in this order, each with a snapshot of its own.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = 'active_sql_transaction', message = 'ledger.take() needs isolation level read committed';
  end if;
  for cursor_row in
    select * from ledger.cursors as c
    where c.consumer = take.consumer and c.position < drawn
    order by c.updated_at
    limit max_slots
    for update skip locked
  loop
    settled := ledger.settled_position(cursor_row.slot, drawn);
    continue when settled <= cursor_row.position;
    return query
      select e.slot, e.position, e.tenant_id::text, t.tier, e.table_name, e.operation, e.row_id, e.old, e.new
      from ledger.entries as e
      left join tenancy.tenants as t on t.id = e.tenant_id
      where e.slot = cursor_row.slot and e.position > cursor_row.position and e.position <= settled
        and e.table_name = any (tables)
      order by e.position
      limit max_entries;
    get diagnostics returned = row_count;
    if returned = max_entries then
      select max(page.position) into last_returned
      from (
        select e.position from ledger.entries as e
        where e.slot = cursor_row.slot and e.position > cursor_row.position and e.position <= settled
          and e.table_name = any (tables)
        order by e.position
        limit max_entries
      ) as page;
      settled := last_returned;
    end if;
    update ledger.cursors as c set position = settled, updated_at = clock_timestamp()
    where c.consumer = take.consumer and c.slot = cursor_row.slot;
  end loop;
end
$$;
comment on function ledger.take(text, integer, integer) is
  'Takes up to max_slots free slots of a consumer, returns up to max_entries entries of each, in order, of its tables, and '
  'moves the cursors past them. Hand them over in the same transaction: what is rolled back is taken again.';
grant execute on function ledger.take(text, integer, integer) to rowhouse_worker;
set role rowhouse_owner;

--@ function ledger.doze(text)
set role rowhouse_dispatcher;
create function ledger.doze(consumer text)
returns boolean
language plpgsql
volatile
security definer -- the sequence and the cursors are the dispatcher's to read
set search_path = ''
parallel unsafe
as $$
declare
  drawn bigint;
begin
  perform pg_advisory_lock_shared(ledger.sleeper_key());
  -- A writer that found no sleeper took its writer's lock before it looked: it is still seen here, or its entry is.
  drawn := (select last_value from ledger.positions);
  if exists (select from ledger.cursors as c where c.consumer = doze.consumer and c.position < drawn) then
    perform pg_advisory_unlock_shared(ledger.sleeper_key());
    return false;
  end if;
  return true;
end
$$;
comment on function ledger.doze(text) is
  'True: nothing is pending, and this session is woken by NOTIFY ledger_wake when something is; listen first, call rouse() after. '
  'False: there is work to take.';
grant execute on function ledger.doze(text) to rowhouse_worker;
set role rowhouse_owner;

--@ table app.jobs
drop view v1.jobs cascade;
alter table app.jobs
  drop column schedule_id, drop column due_at, drop column traceparent,
  drop constraint jobs_progress_bounded, drop constraint jobs_error_bounded;
revoke insert (type, input), update (max_attempts) on app.jobs from rowhouse_worker;
select tenancy.expose('app.jobs', '{delete}', '{id,created_by}');
grant insert (type, input, idempotency_key) on app.jobs to tenant_user;
grant insert (type, input, idempotency_key) on v1.jobs to tenant_user;
create trigger submit_job instead of insert on v1.jobs for each row execute function app.submit_job();
revoke usage on schema app from rowhouse_dispatcher;
-- Its body lists the table's columns: as it is in the book, made anew.
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
update ledger.cursors as c set position = kept.reached::bigint
from jsonb_each_text(coalesce(nullif(current_setting('rowhouse.kept_cursors', true), ''), '{}')::jsonb) as kept (slot, reached)
where c.consumer = 'jobs' and c.slot = kept.slot::integer;
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
--=   constraint jobs_pkey primary key (tenant_id, id),
--=   constraint jobs_idempotency_key_key unique (tenant_id, idempotency_key),
--=   constraint jobs_idempotency_key_length check (length(idempotency_key) between 1 and 255),
--=   constraint jobs_input_is_an_object check (jsonb_typeof(input) = 'object' and octet_length(input::text) <= 262144),
--=   constraint jobs_status_known check (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
--=   constraint jobs_attempts_in_range check (attempts >= 0 and max_attempts > 0),
--=   constraint jobs_finished_when_over check ((status in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null))
--= ) partition by hash (tenant_id);
--= create index jobs_created_at_idx on app.jobs (tenant_id, created_at desc, id desc);
--= comment on table app.jobs is $$Jobs
--=
--= Insert one to submit it: type, input and, if you may repeat the request, an idempotency_key. Its progress, result or error appear in the row.$$;
--= comment on column app.jobs.type is 'One of the registered job types, such as csv.validate.';
--= comment on column app.jobs.input is 'What the type asks for: see its schema in docs/jobs.md.';
--= comment on column app.jobs.idempotency_key is 'The same key with the same type and input answers with the first job; with another body it is a 409.';
--= comment on column app.jobs.status is 'queued, running, succeeded, failed or cancelled.';
--= comment on column app.jobs.attempts is 'How many times a worker has started it.';
--= select tenancy.protect('app.jobs', expose => true, client_verbs => '{delete}');
--= grant select on app.jobs to rowhouse_worker, rowhouse_edge;
--= grant update (status, attempts, progress, result, error, queued_at, started_at, finished_at) on app.jobs to rowhouse_worker;
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
create or replace trigger guard_job before insert or update of status on app.jobs
  for each row execute function app.guard_job();

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

--@ function app.move_job(uuid, text, text[])
create or replace function app.move_job(job_id uuid, new_status text, from_statuses text[])
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
    max_attempts = case when new_status = 'queued' then attempts + 3 else max_attempts end,
    error = case when new_status = 'queued' then null else error end
  where tenant_id = request.tenant_id() and id = job_id
  returning * into job;
  return job;
end
$$;
comment on function app.move_job(uuid, text, text[]) is 'What cancel_job() and retry_job() do. Raises role_insufficient, job_not_found, job_transition.';

--@ function v1.retry_job(uuid)
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

Queues a failed or cancelled job again, for up to three more attempts.$$;
grant execute on function v1.retry_job(uuid) to tenant_user;

--@ function admin.set_tenant_settings(text, jsonb)
create or replace function admin.set_tenant_settings(id text, settings jsonb)
returns jsonb
language plpgsql
volatile
security definer -- operators hold no grant on the directory
set search_path = ''
parallel unsafe
as $$
declare
  stored tenancy.tenant_settings;
  problem text;
begin
  perform auth.require_operator();
  if not exists (select from tenancy.tenants where tenants.id = set_tenant_settings.id) then
    perform request.raise_error('tenant_unknown');
  end if;
  insert into tenancy.tenant_settings (tenant_id) values (set_tenant_settings.id) on conflict do nothing;
  select * into strict stored from tenancy.tenant_settings as s where s.tenant_id = set_tenant_settings.id for update;
  select name into problem from jsonb_object_keys(settings) as name
  where name in ('tenant_id', 'updated_at') or not to_jsonb(stored) ? name limit 1;
  if found then
    perform request.raise_error('tenant_invalid', format('no setting is called %s', problem), 'the settings are what this function returns');
  end if;
  stored := jsonb_populate_record(stored, settings);
  update tenancy.tenant_settings as s set (
    read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst, rate_shadow, rate_weighted,
    request_concurrency, queue_length, queue_wait, statement_timeout, cache_bytes, cache_enabled, uncached_relations,
    cors_origins, pool
  ) = (
    stored.read_rate, stored.read_burst, stored.write_rate, stored.write_burst, stored.expensive_rate,
    stored.expensive_burst, stored.rate_shadow, stored.rate_weighted, stored.request_concurrency,
    stored.queue_length, stored.queue_wait, stored.statement_timeout, stored.cache_bytes, stored.cache_enabled,
    stored.uncached_relations, stored.cors_origins, stored.pool
  ) where s.tenant_id = set_tenant_settings.id;
  return to_jsonb(stored) - 'tenant_id' - 'updated_at';
exception
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics problem = constraint_name;
    perform request.raise_error('tenant_invalid', format('%s does not hold', coalesce(nullif(problem, ''), 'the type of a value')));
end
$$;
comment on function admin.set_tenant_settings(text, jsonb) is $$Set a tenant's settings

Changes the members that are given and returns them all; null gives a setting that plans have back to the plan. Edges follow within half a second.$$;
grant execute on function admin.set_tenant_settings(text, jsonb) to operator;

--@ drop function request.traceparent()
drop function request.traceparent();

-- Columns, after the functions that read them.
alter table tenancy.plans
  drop column open_streams, drop column job_schedules, drop column webhook_endpoints, drop column delivery_concurrency, drop column delivery_weight;
alter table tenancy.tenant_settings drop column open_streams;
alter table tenancy.job_types drop column max_attempts, drop column max_result_bytes, drop column paused_at;
