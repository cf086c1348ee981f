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

--@ function webhook.record(jsonb,jsonb,jsonb,jsonb)
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
      circuit = case when s.generation = heard.generation then r.circuit else s.circuit end,
      opened = case when s.generation = heard.generation then r.opened else s.opened end,
      paused_until = case when s.generation = heard.generation then to_timestamp(r.paused / 1000) else s.paused_until end,
      failing_since = case when s.generation = heard.generation then to_timestamp(r.failing / 1000) else s.failing_since end,
      failures = case when s.generation = heard.generation then r.failures else s.failures end,
      last_error = case when s.generation = heard.generation then r.error else s.last_error end
    from jsonb_to_recordset(states) as r (t text, e uuid, generation bigint, watermark bigint, circuit text, opened integer, paused float8,
      failing float8, failures bigint, error text)
    join webhook.endpoint_states as known on known.tenant_id = r.t and known.endpoint_id = r.e
    cross join lateral (select exists (
      select from webhook.deliveries as d
      where d.tenant_id = r.t and d.endpoint_id = r.e and d.position > known.watermark and d.position <= r.watermark
        and d.status = 'pending' and d.next_attempt_at is null)) as passed (over)
    -- What was seen before its tenant changed the endpoint, or had it tried again, says nothing of the receiver any more.
    cross join lateral (select case when r.circuit is not null then r.generation end) as heard (generation)
    where s.tenant_id = r.t and s.endpoint_id = r.e;
  end if;
  return recorded;
end
$$;
comment on function webhook.record(jsonb, jsonb, jsonb, jsonb) is
  'What came of attempts, in one statement for all of them. parked: deliveries that wait behind one of their order; freed: orders of '
  'which one was settled, so that the next is due if it was blocked; states: what workers keep of endpoints (no circuit: their health is as it '
  'was). Returns how many attempts were recorded: not those of deliveries that are gone or that were recorded before. Raises lock_not_available where somebody has any of the rows.';
grant execute on function webhook.record(jsonb, jsonb, jsonb, jsonb) to rowhouse_worker;
set role rowhouse_owner;

--@ data ledger.event_types.webhook
select ledger.declare_event_type('webhook.endpoint.disabled',
  'An endpoint was disabled because it answered 410, or with nothing but failures for days.',
  '{"type": "object", "required": ["endpoint_id", "url", "reason", "disabled_at"], "properties": {
    "endpoint_id": {"type": "string", "format": "uuid"}, "url": {"type": "string"},
    "reason": {"enum": ["gone", "failing"]}, "disabled_at": {"type": "string", "format": "date-time"}}}', 'admin');

--@ function webhook.disable(text,uuid,text)
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

--@ function webhook.publish_key(text,uuid,uuid,text)
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
