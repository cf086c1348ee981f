--@ function webhook.heard_entries(text[],smallint[],bigint[],bigint[],integer,text[])
set role rowhouse_dispatcher;
create function webhook.heard_entries(tenants text[], slots smallint[], afters bigint[], uptos bigint[], max_entries integer, asides text[])
returns table (nth bigint, tenant_id text, "position" bigint, table_name text, operation text, subject text)
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
  if tenants is null then
    return query
      select r.nth, e.tenant_id::text, e.position, e.table_name, e.operation, e.row_id
      from unnest(slots, afters, uptos) with ordinality as r (slot, after_position, upto_position, nth)
      cross join lateral (
        select * from ledger.entries as e
        where e.slot = r.slot and e.position > r.after_position and e.position <= r.upto_position and e.tenant_id <> all (asides)
        order by e.position
        limit max_entries) as e;
  else
    return query
      select r.nth, e.tenant_id::text, e.position, e.table_name, e.operation, e.row_id
      from unnest(tenants, afters, uptos) with ordinality as r (tenant_id, after_position, upto_position, nth)
      cross join lateral (
        select * from ledger.entries as e
        where e.tenant_id = r.tenant_id and e.position > r.after_position and e.position <= r.upto_position
        order by e.position
        limit max_entries) as e;
  end if;
end
$$;
comment on function webhook.heard_entries(text[], smallint[], bigint[], bigint[], integer, text[]) is
  'The first max_entries entries of each range of positions: of the nth tenant, or where tenants is null of all in the nth slot that are not set aside.';
set role rowhouse_owner;

--@ function webhook.hand_over(text[],smallint[],bigint[],bigint[],integer,text[])
set role rowhouse_dispatcher;
create function webhook.hand_over(tenants text[], slots smallint[], afters bigint[], uptos bigint[], max_entries integer, asides text[])
returns table (nth bigint, entries integer, last_position bigint, tenant_id text, endpoint_id uuid)
language plpgsql
volatile
security invoker
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
begin
  return query
    with heard as materialized (
      select e.nth, e.tenant_id, e.position, ledger.event_type(e.table_name, e.operation) as type, e.subject, e.table_name as source, e.operation
      from webhook.heard_entries(tenants, slots, afters, uptos, max_entries, asides) as e
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
    select e.nth, count(*)::integer, max(e.position), null::text, null::uuid from heard as e group by e.nth
    union all
    select null, null, null, w.tenant_id::text, w.endpoint_id from work as w;
end
$$;
comment on function webhook.hand_over(text[], smallint[], bigint[], bigint[], integer, text[]) is
  'Makes deliveries of webhook.heard_entries(), for the endpoints that want them. Returns of each range that has any how many entries were looked at and the '
  'last of them; and the endpoints that have new deliveries.';
set role rowhouse_owner;
