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
