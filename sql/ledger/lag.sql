--@ function ledger.prepared_writer(smallint)
set role rowhouse_dispatcher;
create function ledger.prepared_writer(of_slot smallint)
returns text
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select p.gid
  from pg_catalog.pg_locks as written
  -- Its locks have the transaction in common; the number that pg_prepared_xacts knows is that of one of them.
  join pg_catalog.pg_locks as own on own.virtualtransaction = written.virtualtransaction and own.locktype = 'transactionid' and own.pid is null
  join pg_catalog.pg_prepared_xacts as p on p.transaction = own.transactionid
  where written.locktype = 'advisory' and written.objsubid = 1 and written.pid is null and p.database = current_database()
    and (written.classid::bigint >> 8) = (21071::bigint << 8 | of_slot)
  order by written.classid::bigint << 32 | written.objid::bigint
  limit 1;
end;
comment on function ledger.prepared_writer(smallint) is 'The id of the oldest prepared transaction that has written to a slot.';
set role rowhouse_owner;

--@ function ledger.lag()
set role rowhouse_dispatcher;
create function ledger.lag()
returns table (consumer text, slot smallint, "position" bigint, entries_behind bigint, seconds_behind numeric, held_back_by integer, prepared text,
  handed_by integer)
language plpgsql
volatile
security definer -- counts entries of every tenant, and says nothing else of them
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  drawn bigint := (select last_value from ledger.positions);
begin
  return query
    select c.consumer, s.slot, reached.position, waiting.entries + aside.entries,
      round(extract(epoch from clock_timestamp() - least(waiting.since, aside.since)), 3),
      case when s.settled < drawn then s.writer end, case when s.settled < drawn and s.writer is null then ledger.prepared_writer(s.slot) end, s.holder
    from ledger.consumers as c
    cross join lateral ledger.slots(c.consumer, drawn) as s
    cross join lateral (select coalesce(pg_sequence_last_value(ledger.cursor(c.consumer, s.slot)), 0) as position) as reached
    -- Above what was drawn: it will be set back (ledger.keep_marks).
    cross join lateral (
      select case when reached.position > (select last_value from ledger.positions) then c.marks[s.slot + 1] else reached.position end as position) as known
    cross join lateral (
      select count(*) as entries, (
        select e.occurred_at from ledger.entries as e
        where e.slot = s.slot and e.position > known.position order by e.position limit 1) as since
      from (
        select from ledger.entries as e
        where e.slot = s.slot and e.position > known.position order by e.position limit 100000) as counted
    ) as waiting
    cross join lateral (
      select coalesce(sum(backlog.entries), 0)::bigint as entries, min(backlog.since) as since
      from ledger.backlogs as b
      cross join lateral (
        select count(*) as entries, (
          select e.occurred_at from ledger.entries as e
          where e.tenant_id = b.tenant_id and e.position > b.position and e.position <= known.position order by e.position limit 1) as since
        from (
          select from ledger.entries as e
          where e.tenant_id = b.tenant_id and e.position > b.position and e.position <= known.position order by e.position limit 100000) as counted
      ) as backlog
      where b.consumer = c.consumer and b.slot = s.slot
    ) as aside
    order by c.consumer, s.slot;
end
$$;
comment on function ledger.lag() is
  'How far each consumer is behind, slot by slot: entries that have committed and are not handed over (counted up to 100,000, and as many of each '
  'tenant that is set aside), the age of '
  'the first of them, the process whose unfinished transaction holds the slot back, or the id of a prepared transaction that does (it has no process, '
  'and ends by COMMIT PREPARED or ROLLBACK PREPARED alone), and the process that hands entries over right now.';
grant execute on function ledger.lag() to rowhouse_worker, rowhouse_owner;
set role rowhouse_owner;

--@ function ledger.rewind(text,bigint)
set role rowhouse_dispatcher;
create function ledger.rewind(consumer text, to_position bigint)
returns integer
language plpgsql
volatile
security definer -- the cursors are the dispatcher's: nobody else may move them
set search_path = ''
set lock_timeout = '30s'
parallel unsafe
as $$
declare
  moved integer := 0;
  key bigint;
begin
  if not exists (select from ledger.consumers as c where c.consumer = rewind.consumer) then
    raise exception using errcode = 'no_data_found', message = format('no consumer %s of the ledger', rewind.consumer);
  end if;
  -- Before the row is written, which says what it says of this database.
  perform ledger.recognise_history();
  perform ledger.set_marks(rewind.consumer, array(
    select least(m.mark, greatest(to_position, 0)) from ledger.consumers as c, unnest(c.marks) with ordinality as m (mark, nth)
    where c.consumer = rewind.consumer order by m.nth));
  for slot in 0 .. 15 loop
    key := ledger.cursor_key(rewind.consumer, slot);
    perform pg_advisory_lock(key); -- whoever hands entries over moves the cursor when done: wait for that
    if pg_sequence_last_value(ledger.cursor(rewind.consumer, slot)) > to_position then
      perform setval(ledger.cursor(rewind.consumer, slot), greatest(to_position, 0));
      moved := moved + 1;
    end if;
    perform pg_advisory_unlock(key);
  end loop;
  return moved;
end
$$;
comment on function ledger.rewind(text, bigint) is
  'Hands a consumer everything after a position again: how many of its 16 slots were moved back. What it was handed before it must '
  'recognise, as after a crash. Raises 55P03 where a slot is held for half a minute.';
grant execute on function ledger.rewind(text, bigint) to rowhouse_owner;
set role rowhouse_owner;
