-- migrate:up
set local lock_timeout = '3s';
set local search_path = '';

--@ function ledger.settled_position(smallint, bigint)
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

--@ function ledger.take(text, integer, integer)
set role rowhouse_dispatcher;
create function ledger.take(consumer text, max_slots integer, max_entries integer)
returns table (slot smallint, "position" bigint, tenant_id text, tier text, table_name text, operation text, row_id text, old jsonb, new jsonb)
language plpgsql
volatile
security definer -- the dispatcher reads every tenant's entries; its caller reads none
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_column
declare
  tables text[] := (select c.tables from ledger.consumers as c where c.consumer = take.consumer);
  drawn bigint := (select last_value from ledger.positions);
  cursor_row ledger.cursors;
  settled bigint;
  returned bigint;
  last_returned bigint;
begin
  -- The sequence, the writers' locks and the entries have to be read in this order, each with a snapshot of its own.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = 'active_sql_transaction', message = 'ledger.take() needs isolation level read committed';
  end if;
  for cursor_row in
    select * from ledger.cursors as c
    where c.consumer = take.consumer and c.position < drawn
    order by c.updated_at
    limit max_slots
    for update skip locked
  loop
    settled := ledger.settled_position(cursor_row.slot, drawn);
    continue when settled <= cursor_row.position;
    return query
      select e.slot, e.position, e.tenant_id::text, t.tier, e.table_name, e.operation, e.row_id, e.old, e.new
      from ledger.entries as e
      left join tenancy.tenants as t on t.id = e.tenant_id
      where e.slot = cursor_row.slot and e.position > cursor_row.position and e.position <= settled
        and e.table_name = any (tables)
      order by e.position
      limit max_entries;
    get diagnostics returned = row_count;
    if returned = max_entries then
      select max(page.position) into last_returned
      from (
        select e.position from ledger.entries as e
        where e.slot = cursor_row.slot and e.position > cursor_row.position and e.position <= settled
          and e.table_name = any (tables)
        order by e.position
        limit max_entries
      ) as page;
      settled := last_returned;
    end if;
    update ledger.cursors as c set position = settled, updated_at = clock_timestamp()
    where c.consumer = take.consumer and c.slot = cursor_row.slot;
  end loop;
end
$$;
comment on function ledger.take(text, integer, integer) is
  'Takes up to max_slots free slots of a consumer, returns up to max_entries entries of each, in order, of its tables, and '
  'moves the cursors past them. Hand them over in the same transaction: what is rolled back is taken again.';
grant execute on function ledger.take(text, integer, integer) to rowhouse_worker;
set role rowhouse_owner;

--@ function ledger.doze(text)
set role rowhouse_dispatcher;
create function ledger.doze(consumer text)
returns boolean
language plpgsql
volatile
security definer -- the sequence and the cursors are the dispatcher's to read
set search_path = ''
parallel unsafe
as $$
declare
  drawn bigint;
begin
  perform pg_advisory_lock_shared(ledger.sleeper_key());
  -- A writer that found no sleeper took its writer's lock before it looked: it is still seen here, or its entry is.
  drawn := (select last_value from ledger.positions);
  if exists (select from ledger.cursors as c where c.consumer = doze.consumer and c.position < drawn) then
    perform pg_advisory_unlock_shared(ledger.sleeper_key());
    return false;
  end if;
  return true;
end
$$;
comment on function ledger.doze(text) is
  'True: nothing is pending, and this session is woken by NOTIFY ledger_wake when something is; listen first, call rouse() after. '
  'False: there is work to take.';
grant execute on function ledger.doze(text) to rowhouse_worker;
set role rowhouse_owner;

--@ function ledger.rouse()
set role rowhouse_dispatcher;
create function ledger.rouse()
returns boolean
language sql
volatile
security definer -- as ledger.doze()
set search_path = ''
parallel unsafe
begin atomic
  select pg_advisory_unlock_shared(ledger.sleeper_key());
end;
comment on function ledger.rouse() is 'Ends doze(): writers stop notifying.';
grant execute on function ledger.rouse() to rowhouse_worker;
set role rowhouse_owner;

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ drop function ledger.rouse()
drop function ledger.rouse();

--@ drop function ledger.doze(text)
drop function ledger.doze(text);

--@ drop function ledger.take(text, integer, integer)
drop function ledger.take(text, integer, integer);

--@ drop function ledger.settled_position(smallint, bigint)
drop function ledger.settled_position(smallint, bigint);
