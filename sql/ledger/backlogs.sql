--@ table ledger.backlogs
create table ledger.backlogs (
  tenant_id tenancy.tenant_id not null,
  consumer text collate "C" not null,
  slot smallint not null,
  position bigint not null,
  constraint backlogs_pkey primary key (tenant_id, consumer),
  constraint backlogs_slot_of_tenant check (slot = (hashtextextended(tenant_id, 0) & 15))
) partition by hash (tenant_id);
-- No key to tenancy.tenants: the files of a deleted tenant are purged by entries that may be in its backlog.
comment on table ledger.backlogs is
  'Tenants that a consumer has set aside: the cursor of their slot passes their entries by, so that no other tenant of it waits for them, and they '
  'are handed over from here. A row for each, while it lags.';
comment on column ledger.backlogs.slot is 'ledger.slot(tenant_id).';
comment on column ledger.backlogs.position is 'Up to here the tenant''s entries have been handed over.';
select tenancy.protect('ledger.backlogs', partitions => 1, ledger => false, write_role => 'owner', client_verbs => '{}');

--@ policy "The dispatcher works for every tenant" on ledger.backlogs
create policy "The dispatcher works for every tenant" on ledger.backlogs
  for all to rowhouse_dispatcher using (true) with check (true);
grant select, insert, delete, update (position) on ledger.backlogs to rowhouse_dispatcher;

--@ function ledger.handed_position(text,text)
set role rowhouse_dispatcher;
create function ledger.handed_position(consumer text, tenant text)
returns bigint
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select least(
    coalesce(pg_sequence_last_value(ledger.cursor(handed_position.consumer, ledger.slot(tenant))), 0),
    (select b.position from ledger.backlogs as b where b.tenant_id = tenant and b.consumer = handed_position.consumer));
end;
comment on function ledger.handed_position(text, text) is 'Up to where a tenant''s entries have been handed over to a consumer.';
set role rowhouse_owner;

--@ function ledger.rejoin(text,smallint[],bigint[])
set role rowhouse_dispatcher;
create function ledger.rejoin(consumer text, slots smallint[], cursors bigint[])
returns text[]
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as ledger.take()
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
begin
  -- The usual case: nobody is set aside.
  if not exists (select from ledger.backlogs as b where b.consumer = rejoin.consumer) then
    return '{}';
  end if;
  -- One that is being handed over stays: it does not know yet how far it gets.
  delete from ledger.backlogs as b where b.consumer = rejoin.consumer and b.tenant_id in (
    select reached.tenant_id
    from ledger.backlogs as reached
    join unnest(slots, cursors) as c (slot, position) on c.slot = reached.slot
    -- Not an anti-join, which the planner may make of the whole ledger.
    where reached.consumer = rejoin.consumer and (
      select e.position from ledger.entries as e
      where e.tenant_id = reached.tenant_id and e.position > reached.position and e.position <= c.position
      order by e.position limit 1) is null
    for update of reached skip locked);
  return array(select b.tenant_id::text from ledger.backlogs as b where b.consumer = rejoin.consumer and b.slot = any (slots));
end
$$;
comment on function ledger.rejoin(text, smallint[], bigint[]) is
  'Ends the backlogs of claimed slots that have caught up with the slot''s cursor. Returns the tenants that stay set aside. Only who has claimed '
  'the slots may call it.';
set role rowhouse_owner;

--@ function ledger.begin_backlogs(text,text[],smallint[],bigint[])
set role rowhouse_dispatcher;
create function ledger.begin_backlogs(consumer text, tenants text[], slots smallint[], cursors bigint[])
returns void
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  insert into ledger.backlogs (tenant_id, consumer, slot, position)
  select t.tenant_id, begin_backlogs.consumer, c.slot, c.position
  from unnest(tenants) as t (tenant_id)
  join unnest(slots, cursors) as c (slot, position) on c.slot = ledger.slot(t.tenant_id);
end;
comment on function ledger.begin_backlogs(text, text[], smallint[], bigint[]) is
  'Sets tenants of claimed slots aside, none of which is. Only who has claimed the slots may call it.';
set role rowhouse_owner;

--@ function ledger.set_aside(text,smallint[],bigint[],bigint[],integer,text[])
set role rowhouse_dispatcher;
create function ledger.set_aside(consumer text, slots smallint[], afters bigint[], settleds bigint[], max_entries integer, tenants text[] default null)
returns text[]
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as ledger.take()
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  wanted text[] := (select c.tables from ledger.consumers as c where c.consumer = set_aside.consumer);
  -- An entry that is counted costs a fiftieth of one that is handed over.
  window_entries constant integer := 20 * max_entries;
  share constant integer := greatest(1, max_entries / 5);
  large text[];
begin
  if tenants is null then
    large := array(
      select counted.tenant_id::text
      from (
        select c.slot, e.tenant_id, count(*) as entries, sum(count(*)) over (partition by c.slot) as of_slot
        from unnest(slots, afters, settleds) as c (slot, after_position, settled_position)
        cross join lateral (
          select e.tenant_id, e.table_name from ledger.entries as e
          where e.slot = c.slot and e.position > c.after_position and e.position <= c.settled_position
          order by e.position
          limit window_entries) as e
        where (wanted is null or e.table_name = any (wanted))
          and not exists (select from ledger.backlogs as b where b.tenant_id = e.tenant_id and b.consumer = set_aside.consumer)
        group by c.slot, e.tenant_id) as counted
      where counted.of_slot > max_entries and counted.entries > share);
  else
    large := array(
      select counted.tenant_id
      from (
        select c.slot, t.tenant_id, e.entries, sum(e.entries) over (partition by c.slot) as of_slot
        from unnest(slots, afters, settleds) as c (slot, after_position, settled_position)
        join unnest(tenants) as t (tenant_id) on ledger.slot(t.tenant_id) = c.slot
        cross join lateral (
          select count(*) as entries from (
            select from ledger.entries as e
            where e.tenant_id = t.tenant_id and e.position > c.after_position and e.position <= c.settled_position
            order by e.position
            limit max_entries + 1) as e) as e) as counted
      where counted.of_slot > max_entries and counted.entries > share);
  end if;
  perform ledger.begin_backlogs(set_aside.consumer, large, slots, afters);
  return large;
end
$$;
comment on function ledger.set_aside(text, smallint[], bigint[], bigint[], integer, text[]) is
  'In claimed slots that have more than max_entries entries to hand over (of the tenants named, if any are): sets those tenants aside that have more than a '
  'fifth of that. Returns them. None of them may be set aside already. Only who has claimed the slots may call it.';
set role rowhouse_owner;

--@ function ledger.claim_backlogs(text,integer)
set role rowhouse_dispatcher;
create function ledger.claim_backlogs(consumer text, max_tenants integer)
returns table (tenant_id text, after_position bigint, reached_position bigint)
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select b.tenant_id::text, b.position, pg_sequence_last_value(ledger.cursor(b.consumer, b.slot))
  from ledger.backlogs as b
  where b.consumer = claim_backlogs.consumer and b.position < pg_sequence_last_value(ledger.cursor(b.consumer, b.slot))
  order by random() -- one that has much is no reason for the others to wait
  limit max_tenants
  for update skip locked;
end;
comment on function ledger.claim_backlogs(text, integer) is
  'Locks up to max_tenants backlogs until the end of the transaction. To be handed over are the entries of each with after_position < position <= '
  'reached_position, or the first of them: read them in a later statement. Then ledger.advance_backlogs(), in the same transaction.';
set role rowhouse_owner;

--@ function ledger.advance_backlogs(text,text[],bigint[])
set role rowhouse_dispatcher;
create function ledger.advance_backlogs(consumer text, tenants text[], positions bigint[])
returns void
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  update ledger.backlogs as b set position = m.position
  from unnest(tenants, positions) as m (tenant_id, position)
  where b.tenant_id = m.tenant_id and b.consumer = advance_backlogs.consumer;
end;
comment on function ledger.advance_backlogs(text, text[], bigint[]) is
  'Says up to where backlogs that this transaction has claimed are handed over.';
set role rowhouse_owner;
