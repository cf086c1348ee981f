--@ function webhook.ordering_key(text,text)
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

--@ function webhook.event_position(text,text)
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
