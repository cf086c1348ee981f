--@ function webhook.listeners()
set role rowhouse_dispatcher;
create function webhook.listeners()
returns text[]
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  select case when count(*) <= 64 then coalesce(array_agg(e.tenant_id::text), '{}') end
  from (select distinct e.tenant_id from webhook.endpoints as e where e.enabled limit 65) as e;
end;
comment on function webhook.listeners() is
  'The tenants that have an enabled endpoint; null where there are more than 64: looking for the entries of each would then cost more than reading all.';
set role rowhouse_owner;

--@ function webhook.wide_listeners()
set role rowhouse_dispatcher;
create function webhook.wide_listeners()
returns text[]
language sql
stable
security definer -- says of any tenant that it has many endpoints, to a worker that sends to them
set search_path = ''
parallel safe
begin atomic
  select coalesce(array_agg(wide.tenant_id), '{}')
  from (
    select e.tenant_id::text as tenant_id from webhook.endpoints as e
    where e.enabled group by e.tenant_id having count(*) > 8
    order by count(*) desc limit 64) as wide;
end;
comment on function webhook.wide_listeners() is
  'The tenants with more than 8 enabled endpoints, the 64 with the most: each of their events can be as many deliveries, which others need not wait for.';
grant execute on function webhook.wide_listeners() to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.dispatch(integer,integer,text[])
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

--@ function webhook.dispatch_backlogs(integer,integer)
set role rowhouse_dispatcher;
create function webhook.dispatch_backlogs(max_tenants integer, max_entries integer)
returns table (entries integer, tenant_id text, endpoint_id uuid)
language plpgsql
volatile
security definer -- as webhook.dispatch()
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.hand_over()
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  tenants text[];
  afters bigint[];
  reacheds bigint[];
  uptos bigint[];
begin
  select array_agg(b.tenant_id), array_agg(b.after_position), array_agg(b.reached_position) into tenants, afters, reacheds
  from ledger.claim_backlogs('webhooks', max_tenants) as b;
  if tenants is null then
    return;
  end if;
  -- So many entries of a tenant with many endpoints as make no more deliveries than those of the others.
  select array_agg(reached.position order by b.nth),
    -- One that has no endpoint any more has an empty range, and is done.
    array_agg(case when listening.endpoints > 0 then reached.position else b.after_position end order by b.nth)
  into reacheds, uptos
  from unnest(tenants, afters, reacheds) with ordinality as b (tenant_id, after_position, reached_position, nth)
  cross join lateral (
    select count(*) as endpoints from webhook.endpoints as e where e.tenant_id = b.tenant_id and e.enabled) as listening
  cross join lateral (
    select coalesce(
      case when listening.endpoints > 8 then (
        select e.position from ledger.entries as e
        where e.tenant_id = b.tenant_id and e.position > b.after_position and e.position <= b.reached_position
        order by e.position offset greatest(8 * max_entries / listening.endpoints, 1) - 1 limit 1) end,
      b.reached_position) as position) as reached;
  return query
    with handed as materialized (select h.* from webhook.hand_over(tenants, null, afters, uptos, max_entries, null) as h),
    advanced as (
      select ledger.advance_backlogs('webhooks', array_agg(b.tenant_id), array_agg(
        case when h.entries = max_entries then h.last_position else b.reached_position end))
      from unnest(tenants, reacheds) with ordinality as b (tenant_id, reached_position, nth)
      left join handed as h using (nth)
    )
    select coalesce(sum(h.entries), 0)::integer, null::text, null::uuid from handed as h, advanced where h.nth is not null
    union all
    select null, h.tenant_id, h.endpoint_id from handed as h where h.endpoint_id is not null;
end
$$;
comment on function webhook.dispatch_backlogs(integer, integer) is
  'As webhook.dispatch(), up to max_entries entries of each of up to max_tenants tenants that are set aside; its commit says that they are handed over. Returns '
  'how many entries, and the endpoints that have new deliveries. No rows: there is no backlog, or others are at it.';
grant execute on function webhook.dispatch_backlogs(integer, integer) to rowhouse_worker;
set role rowhouse_owner;

--@ data ledger.consumers.webhooks
select ledger.add_consumer('webhooks');
