--@ function webhook.line_up(text,uuid,text[],bigint[])
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

--@ function webhook.free_first(text,uuid)
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
