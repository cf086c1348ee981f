--@ function ledger.history()
create function ledger.history()
returns text
language sql
stable
security invoker
set search_path = ''
parallel safe
-- The timeline that is written now: the one of pg_control_checkpoint() may be that of before a failover.
return (select system_identifier from pg_catalog.pg_control_system())::text || '/' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8);
comment on function ledger.history() is 'The server''s identity and timeline: another after a restore to another server, a failover or a recovery to a point in time.';
grant execute on function ledger.history() to rowhouse_dispatcher;

--@ table ledger.consumers
create table ledger.consumers (
  consumer text collate "C" not null,
  tables text[],
  marks bigint[] not null default array_fill(0::bigint, '{16}'),
  marked_at timestamptz not null default now(),
  marked_on text collate "C" not null default ledger.history(),
  marked_by xid not null default pg_current_xact_id()::xid,
  constraint consumers_pkey primary key (consumer),
  constraint consumers_consumer_form check (consumer ~ '^[a-z][a-z0-9_]{0,30}$')
);
comment on table ledger.consumers is 'Who follows the ledger. Each has a cursor for each of the 16 slots: the sequences ledger.cursor_<consumer>_<slot>.';
comment on column ledger.consumers.tables is 'The tables whose entries ledger.take() hands over; null: all.';
comment on column ledger.consumers.marks is 'Where the cursors of the slots were when the row was written: a dump has sequences as of later than rows (ledger.keep_marks).';
comment on column ledger.consumers.marked_on is 'ledger.history() at the time.';
comment on column ledger.consumers.marked_by is $$The transaction that wrote the row: another one did if the row was copied.
@sample "3"$$;
grant select, insert, delete, update (marks, marked_at, marked_on, marked_by) on ledger.consumers to rowhouse_dispatcher;

--@ function ledger.cursor(text,integer)
create function ledger.cursor(consumer text, slot integer)
returns regclass
language sql
stable
security invoker
parallel safe
-- A sequence: a cursor row would leave a dead version for each batch for as long as any transaction anywhere holds a snapshot.
return to_regclass(format('ledger.cursor_%s_%s', consumer, lpad(slot::text, 2, '0')));
comment on function ledger.cursor(text, integer) is 'Where a consumer keeps how far it has followed a slot.';
grant execute on function ledger.cursor(text, integer) to rowhouse_dispatcher;

--@ function ledger.cursor_key(text,integer)
create function ledger.cursor_key(consumer text, slot integer)
returns bigint
language sql
immutable
security invoker
parallel safe
return (21071::bigint << 48) | (254::bigint << 40) | ((hashtext(consumer)::bigint & 4294967295) << 8) | slot;
comment on function ledger.cursor_key(text, integer) is 'Advisory lock key of whoever hands a slot''s entries to a consumer. See ledger.writer_key.';
grant execute on function ledger.cursor_key(text, integer) to rowhouse_dispatcher;

--@ function ledger.settled_position(smallint,bigint)
set role rowhouse_dispatcher;
create function ledger.settled_position(of_slot smallint, drawn bigint)
returns bigint
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select least(drawn, min(((classid::bigint << 32 | objid::bigint) & ((1::bigint << 40) - 1)) * 32))
  from pg_catalog.pg_locks
  where locktype = 'advisory' and objsubid = 1
    and database = (select oid from pg_catalog.pg_database where datname = current_database())
    and (classid::bigint >> 8) = (21071::bigint << 8 | of_slot);
end;
comment on function ledger.settled_position(smallint, bigint) is
  'Up to where a slot''s entries are all visible or rolled back: below every unfinished writer (see ledger.announce). drawn: the '
  'last position drawn, read in an earlier statement, so that whoever drew up to it is either seen here or has ended.';
set role rowhouse_owner;

--@ function ledger.slots(text,bigint)
set role rowhouse_dispatcher;
create function ledger.slots(consumer text, drawn bigint)
returns table (slot smallint, settled bigint, writer integer, holder integer)
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  -- One look for all slots: pg_locks stops every backend that takes or gives back a lock.
  with held as materialized (
    select classid::bigint << 32 | objid::bigint as key, pid
    from pg_catalog.pg_locks
    where locktype = 'advisory' and objsubid = 1 and granted and classid::bigint >> 16 = 21071
      and database = (select oid from pg_catalog.pg_database where datname = current_database())),
  writers as materialized (
    select (key >> 40) & 255 as slot, (key & ((1::bigint << 40) - 1)) * 32 as above, pid from held where (key >> 40) & 255 < 16)
  select s.slot::smallint, least(slots.drawn, (select min(w.above) from writers as w where w.slot = s.slot)),
    (select w.pid from writers as w where w.slot = s.slot order by w.above limit 1),
    (select h.pid from held as h where h.key = ledger.cursor_key(slots.consumer, s.slot))
  from generate_series(0, 15) as s (slot);
end;
comment on function ledger.slots(text, bigint) is
  'Each slot as the locks tell it: up to where it is settled (see ledger.settled_position), the process of the oldest unfinished '
  'writer, and the one that hands entries to the consumer right now.';
set role rowhouse_owner;

--@ function ledger.add_consumer(text,text[],bigint)
set role rowhouse_dispatcher;
create function ledger.add_consumer(consumer text, tables text[] default null, start_at bigint default null)
returns void
language plpgsql
volatile
security definer -- the cursors are the dispatcher's: nobody else may move them
set search_path = ''
parallel unsafe
as $$
declare
  drawn bigint := (select last_value from ledger.positions);
  made record;
begin
  insert into ledger.consumers (consumer, tables) values (add_consumer.consumer, add_consumer.tables);
  for made in select * from ledger.slots(add_consumer.consumer, drawn) loop
    execute format('create sequence ledger.cursor_%s_%s as bigint minvalue 0 start 0 cache 1', add_consumer.consumer, lpad(made.slot::text, 2, '0'));
    perform setval(ledger.cursor(add_consumer.consumer, made.slot), least(coalesce(start_at, made.settled), drawn));
  end loop;
  perform ledger.set_marks(add_consumer.consumer, ledger.cursors(add_consumer.consumer));
end
$$;
comment on function ledger.add_consumer(text, text[], bigint) is
  'Makes a consumer. tables: whose entries ledger.take() hands it, null for all; start_at: it gets what comes after this position, 0 for '
  'everything; by default what commits from now on. Raises 23505 where there is one of that name.';
grant execute on function ledger.add_consumer(text, text[], bigint) to rowhouse_owner;
set role rowhouse_owner;

--@ function ledger.remove_consumer(text)
set role rowhouse_dispatcher;
create function ledger.remove_consumer(consumer text)
returns void
language plpgsql
volatile
security definer -- as ledger.add_consumer()
set search_path = ''
parallel unsafe
as $$
begin
  delete from ledger.consumers as c where c.consumer = remove_consumer.consumer;
  if found then
    delete from ledger.backlogs as b where b.consumer = remove_consumer.consumer;
    for slot in 0 .. 15 loop
      execute format('drop sequence %s', ledger.cursor(remove_consumer.consumer, slot));
    end loop;
  end if;
end
$$;
comment on function ledger.remove_consumer(text) is 'Ends a consumer, its cursors and its backlogs. Safe to repeat.';
grant execute on function ledger.remove_consumer(text) to rowhouse_owner;
set role rowhouse_owner;
