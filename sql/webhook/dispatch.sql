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
  select case when count(*) <= 64 then coalesce(array_agg(distinct e.tenant_id::text), '{}') end
  from (select e.tenant_id from webhook.endpoints as e where e.enabled limit 65) as e;
end;
comment on function webhook.listeners() is
  'The tenants that have an enabled endpoint; null where there are more than 64: looking for the entries of each would then cost more than reading all.';
set role rowhouse_owner;

--@ function webhook.heard_entries(smallint[],bigint[],bigint[],integer,text[])
set role rowhouse_dispatcher;
create function webhook.heard_entries(slots smallint[], afters bigint[], settleds bigint[], max_entries integer, listeners text[])
returns table (slot smallint, tenant_id text, "position" bigint, table_name text, operation text, subject text)
language plpgsql
stable
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.dispatch()
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel safe
as $$
#variable_conflict use_column
begin
  if listeners is null then
    return query
      select e.slot, e.tenant_id::text, e.position, e.table_name, e.operation, e.row_id
      from unnest(slots, afters, settleds) as c (slot, after_position, settled_position)
      cross join lateral (
        select * from ledger.entries as e
        where e.slot = c.slot and e.position > c.after_position and e.position <= c.settled_position
        order by e.position
        limit max_entries) as e;
  else
    return query
      select c.slot, e.tenant_id::text, e.position, e.table_name, e.operation, e.row_id
      from unnest(slots, afters, settleds) as c (slot, after_position, settled_position)
      cross join lateral (
        select e.*
        from unnest(listeners) as listener (tenant_id)
        cross join lateral (
          select * from ledger.entries as e
          where e.tenant_id = listener.tenant_id and e.position > c.after_position and e.position <= c.settled_position
          order by e.position
          limit max_entries) as e
        where ledger.slot(listener.tenant_id) = c.slot
        order by e.position
        limit max_entries) as e;
  end if;
end
$$;
comment on function webhook.heard_entries(smallint[], bigint[], bigint[], integer, text[]) is
  'The first max_entries entries of each slot, in its range of positions, that somebody may hear of: those of the listeners, or where that is null everybody''s.';
set role rowhouse_owner;

--@ function webhook.dispatch(integer,integer,smallint[])
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
set enable_bitmapscan = 'off'
set jit = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  slots smallint[];
  afters bigint[];
  settleds bigint[];
  listeners text[];
begin
  select array_agg(c.slot), array_agg(c.after_position), array_agg(c.settled_position) into slots, afters, settleds
  from ledger.claim('webhooks', max_slots, among) as c;
  if slots is null then
    return;
  end if;
  -- In this order, with a snapshot for each: whoever wrote an entry that is settled had only endpoints that are seen now.
  listeners := webhook.listeners();
  if cardinality(listeners) = 0 then
    return query select c.slot, c.settled, null::integer, false, null::text, null::uuid from unnest(slots, settleds) as c (slot, settled);
    return;
  end if;
  return query
    with heard as materialized (
      select e.slot, e.tenant_id, e.position, ledger.event_type(e.table_name, e.operation) as type, e.subject, e.table_name as source, e.operation
      from webhook.heard_entries(slots, afters, settleds, max_entries, listeners) as e
    ), kinds as (
      select distinct e.tenant_id, e.type, e.source from heard as e
      where e.operation = 'emit' or e.source in (select s.name from ledger.event_sources as s where s.relation is not null) -- as ledger.events
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
      from heard as e
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
    select c.slot, case when e.entries = max_entries then e.last else c.settled end, coalesce(e.entries, 0),
      coalesce(e.entries = max_entries and e.last < c.settled, false), null::text, null::uuid
    from unnest(slots, settleds) as c (slot, settled)
    left join (select e.slot, count(*)::integer as entries, max(e.position) as last from heard as e group by e.slot) as e using (slot)
    union all
    select null, null, null, null, w.tenant_id::text, w.endpoint_id from work as w;
end
$$;
comment on function webhook.dispatch(integer, integer, smallint[]) is
  'Hands the entries of up to max_slots free slots of the ledger (among those named, if any are) over to the endpoints that want them. '
  'Returns the slots, for ledger.advance() after the commit, how many entries of tenants with endpoints were looked at (null: nobody has an '
  'endpoint), and whether there are more; and the endpoints that have new deliveries.';
grant execute on function webhook.dispatch(integer, integer, smallint[]) to rowhouse_worker;
set role rowhouse_owner;

--@ data ledger.consumers.webhooks
select ledger.add_consumer('webhooks');
