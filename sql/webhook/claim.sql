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

--@ function webhook.project(jsonb,text[])
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

--@ function webhook.next_deliveries(text,uuid,text,integer,bigint)
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

--@ function webhook.claim(uuid[],jsonb)
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
