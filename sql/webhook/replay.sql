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
