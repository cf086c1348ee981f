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
