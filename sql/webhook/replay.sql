--@ function webhook.await_dispatch(text)
set role rowhouse_dispatcher;
create function webhook.await_dispatch(tenant text)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
set lock_timeout = '2s'
parallel unsafe
as $$
declare
  key bigint := ledger.cursor_key('webhooks', ledger.slot(tenant));
begin
  -- Not of the transaction: its slot, and all tenants in it, would wait for the end of that.
  perform pg_advisory_lock(key);
  perform pg_advisory_unlock(key);
  perform from ledger.backlogs as b where b.tenant_id = tenant and b.consumer = 'webhooks' for share;
  return ledger.handed_position('webhooks', tenant);
end
$$;
comment on function webhook.await_dispatch(text) is
  'Waits for a round of dispatch that is under way, which may have seen the tenant''s endpoints as they were. Returns up to where the tenant''s entries have been '
  'handed over: whatever comes later sees the endpoints as they are. Raises 55P03 where that takes two seconds.';
set role rowhouse_owner;

--@ function webhook.replay(text,uuid,bigint,bigint,boolean,timestamptz,timestamptz,timestamptz,integer)
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

--@ function webhook.send_test(text,uuid,text)
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
  -- Before what waits already: of an endpoint whose circuit is open, one delivery alone is tried.
  values (tenant, endpoint, drawn, event_type, endpoint::text, least(now(), (
    select min(d.next_attempt_at) - interval '1 microsecond' from webhook.deliveries as d
    where d.tenant_id = tenant and d.endpoint_id = endpoint and d.next_attempt_at is not null)), jsonb_build_object(
    'specversion', '1.0', 'id', 'test_' || drawn, 'source', '/tenants/' || tenant, 'type', event_type, 'subject', endpoint::text,
    'time', to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'datacontenttype', 'application/json',
    'tenantid', tenant, 'data', jsonb_build_object('test', true)));
  perform webhook.half_open(tenant, endpoint);
  return drawn;
end
$$;
comment on function webhook.send_test(text, uuid, text) is
  'Part of v1.test_webhook_endpoint(): an event that is in no ledger, for one endpoint, outside of any order. Returns its position.';
grant execute on function webhook.send_test(text, uuid, text) to rowhouse_owner;
set role rowhouse_owner;

--@ grants ledger.positions
grant usage on ledger.positions to rowhouse_dispatcher;
