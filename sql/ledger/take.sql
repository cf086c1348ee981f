--@ function ledger.take(text,integer,integer)
set role rowhouse_dispatcher;
create function ledger.take(consumer text, max_slots integer, max_entries integer)
returns table (slot smallint, upto_position bigint, has_backlogs boolean, "position" bigint, tenant_id text, tier text, table_name text,
  operation text, row_id text, trace_id text, old jsonb, new jsonb)
language plpgsql
volatile
security definer -- the dispatcher reads every tenant's entries; its caller reads none
set search_path = ''
-- Planning 16 partitions costs more than reading a batch of them. The generic plan guesses at the range, so it has to be kept to the index.
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  wanted text[] := (select c.tables from ledger.consumers as c where c.consumer = take.consumer);
  most_read integer;
  slots smallint[];
  afters bigint[];
  settleds bigint[];
  begins bigint[];
  uptos bigint[];
  asides text[];
  newly text[];
  crowded boolean;
begin
  select array_agg(c.slot), array_agg(c.after_position), array_agg(c.settled_position) into slots, afters, settleds
  from ledger.claim(take.consumer, max_slots) as c;
  if slots is null then
    return;
  end if;
  asides := ledger.rejoin(take.consumer, slots, afters);
  loop
    -- What is not wanted costs a look alone: rounds cost more.
    most_read := case when wanted is null and asides = '{}' then max_entries + 1 else 20 * max_entries end;
    select array_agg(case when batch.wanted_entries > 0 then c.after_position end order by c.nth), array_agg(batch.upto_position order by c.nth),
      bool_or(batch.wanted_entries > max_entries)
    into begins, uptos, crowded
    from unnest(slots, afters, settleds) with ordinality as c (slot, after_position, settled_position, nth)
    cross join lateral (
      select count(*) filter (where e.is_wanted),
        coalesce((array_agg(e.position) filter (where e.is_wanted))[max_entries],
          case when count(*) = most_read then max(e.position) end, c.settled_position)
      from (
        select e.position, (wanted is null or e.table_name = any (wanted)) and e.tenant_id <> all (asides) from ledger.entries as e
        where e.slot = c.slot and e.position > c.after_position and e.position <= c.settled_position
        order by e.position
        limit most_read) as e (position, is_wanted)) as batch (wanted_entries, upto_position);
    exit when not crowded;
    newly := ledger.set_aside(take.consumer, slots, afters, settleds, max_entries);
    exit when newly = '{}';
    asides := asides || newly;
  end loop;
  -- A statement less where nothing is wanted, which is most rounds.
  if array_remove(begins, null) = '{}' then
    return query select c.slot, c.upto_position, asides <> '{}', null::bigint, null, null, null, null, null, null, null::jsonb, null::jsonb
      from unnest(slots, uptos) as c (slot, upto_position);
    return;
  end if;
  return query
    select c.slot, c.upto_position, asides <> '{}', e.position, e.tenant_id::text, t.tier, e.table_name, e.operation, e.row_id, e.trace_id, e.old, e.new
    from unnest(slots, begins, uptos) as c (slot, after_position, upto_position)
    left join ledger.entries as e on e.slot = c.slot and e.position > c.after_position and e.position <= c.upto_position
      and (wanted is null or e.table_name = any (wanted)) and e.tenant_id <> all (asides)
    left join tenancy.tenants as t on t.id = e.tenant_id
    order by c.slot, e.position;
end
$$;
comment on function ledger.take(text, integer, integer) is
  'ledger.claim(), and the entries of the consumer''s tables: at most max_entries of each slot, in order. A slot that has none is one '
  'row without a position. Hand them over, commit, then advance() each slot to its upto_position. Tenants with too many are set aside: where has_backlogs, '
  'ledger.take_backlogs() has theirs.';
grant execute on function ledger.take(text, integer, integer) to rowhouse_worker;
set role rowhouse_owner;

--@ function ledger.take_backlogs(text,integer,integer)
set role rowhouse_dispatcher;
create function ledger.take_backlogs(consumer text, max_tenants integer, max_entries integer)
returns table ("position" bigint, tenant_id text, tier text, table_name text, operation text, row_id text, trace_id text, old jsonb, new jsonb)
language plpgsql
volatile
security definer -- as ledger.take()
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  wanted text[] := (select c.tables from ledger.consumers as c where c.consumer = take_backlogs.consumer);
  most_read constant integer := case when wanted is null then max_entries else 20 * max_entries end;
  tenants text[];
  afters bigint[];
  uptos bigint[];
begin
  select array_agg(b.tenant_id), array_agg(b.after_position), array_agg(b.reached_position) into tenants, afters, uptos
  from ledger.claim_backlogs(take_backlogs.consumer, max_tenants) as b;
  if tenants is null then
    return;
  end if;
  uptos := array(
    select batch.upto_position
    from unnest(tenants, afters, uptos) with ordinality as b (tenant_id, after_position, reached_position, nth)
    cross join lateral (
      select coalesce((array_agg(e.position) filter (where e.is_wanted))[max_entries],
        case when count(*) = most_read then max(e.position) end, b.reached_position)
      from (
        select e.position, wanted is null or e.table_name = any (wanted) from ledger.entries as e
        where e.tenant_id = b.tenant_id and e.position > b.after_position and e.position <= b.reached_position
        order by e.position
        limit most_read) as e (position, is_wanted)) as batch (upto_position)
    order by b.nth);
  perform ledger.advance_backlogs(take_backlogs.consumer, tenants, uptos);
  return query
    select e.position, b.tenant_id, t.tier, e.table_name, e.operation, e.row_id, e.trace_id, e.old, e.new
    from unnest(tenants, afters, uptos) as b (tenant_id, after_position, upto_position)
    left join ledger.entries as e on e.tenant_id = b.tenant_id and e.position > b.after_position and e.position <= b.upto_position
      and (wanted is null or e.table_name = any (wanted))
    left join tenancy.tenants as t on t.id = b.tenant_id
    order by b.tenant_id, e.position;
end
$$;
comment on function ledger.take_backlogs(text, integer, integer) is
  'Up to max_entries entries of each of up to max_tenants tenants that are set aside, in order; one row without a position for a tenant whose next entries are '
  'none of the consumer''s. Hand them over in the same transaction: its commit says that they are. No rows: there is no backlog, or others are at it.';
grant execute on function ledger.take_backlogs(text, integer, integer) to rowhouse_worker;
set role rowhouse_owner;
