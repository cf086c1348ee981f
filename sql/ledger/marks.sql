--@ function ledger.set_marks(text,bigint[])
set role rowhouse_dispatcher;
create function ledger.set_marks(consumer text, marks bigint[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  update ledger.consumers as c
  set marks = set_marks.marks, marked_at = clock_timestamp(), marked_on = ledger.history(), marked_by = pg_current_xact_id()::xid
  where c.consumer = set_marks.consumer;
  -- Behind a savepoint a row has another transaction's number than that.
  update ledger.consumers as c set marked_by = c.xmin where c.consumer = set_marks.consumer and c.marked_by <> c.xmin;
end
$$;
comment on function ledger.set_marks(text, bigint[]) is 'Says that a consumer has been handed each slot''s entries up to here, in this database as it is now.';
set role rowhouse_owner;

--@ function ledger.cursors(text)
set role rowhouse_dispatcher;
create function ledger.cursors(consumer text)
returns bigint[]
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select array_agg(coalesce(pg_sequence_last_value(ledger.cursor(cursors.consumer, s.slot)), 0) order by s.slot) from generate_series(0, 15) as s (slot);
end;
comment on function ledger.cursors(text) is 'Where a consumer is, slot by slot.';
set role rowhouse_owner;

--@ function ledger.recognise_history()
set role rowhouse_dispatcher;
create function ledger.recognise_history()
returns table (consumer text, slots integer)
language plpgsql
volatile
security invoker
set search_path = ''
set lock_timeout = '30s'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  -- Those that were drawn after what was restored was saved are on their way to receivers, who would take what gets the same for a
  -- repetition. Positions have room for 35,000 such leaps (ledger.writer_key).
  leap constant bigint := 1000000000;
  drawn bigint;
  strange ledger.consumers;
begin
  if not exists (select from ledger.consumers as c where c.marked_on <> ledger.history() or c.marked_by <> c.xmin) then
    return;
  end if;
  perform from ledger.consumers as c order by c.consumer for update;
  -- A statement of its own: another worker may have done it while this one waited.
  if not exists (select from ledger.consumers as c where c.marked_on <> ledger.history() or c.marked_by <> c.xmin) then
    return;
  end if;
  select greatest((select last_value from ledger.positions), max(last_entry.position)) into drawn
  from generate_series(0, 15) as s (slot)
  cross join lateral (select e.position from ledger.entries as e where e.slot = s.slot order by e.position desc limit 1) as last_entry;
  perform setval('ledger.positions', drawn + leap);
  for strange in select c.* from ledger.consumers as c order by c.consumer loop
    for slot in 0 .. 15 loop
      -- Whoever hands entries over moves the cursor when done.
      perform pg_advisory_xact_lock(ledger.cursor_key(strange.consumer, slot));
      perform setval(ledger.cursor(strange.consumer, slot), least(strange.marks[slot + 1], drawn));
    end loop;
    perform ledger.set_marks(strange.consumer, ledger.cursors(strange.consumer));
    consumer := strange.consumer;
    slots := 16;
    return next;
  end loop;
end
$$;
comment on function ledger.recognise_history() is
  'Recognises a database that was restored from a dump (a row of ledger.consumers was written by another transaction than it says), or that '
  'runs on another server or timeline than it did: a failover, a recovery to a point in time. Then all cursors go to the marks, since a dump '
  'has those of a later moment than the rows, and positions leap, so that none is drawn again. Returns the consumers. Raises 55P03 where '
  'a slot is held for half a minute.';
set role rowhouse_owner;

--@ function ledger.keep_marks()
set role rowhouse_dispatcher;
create function ledger.keep_marks()
returns table (consumer text, finding text, slots integer)
language plpgsql
volatile
security definer -- the cursors are the dispatcher's: nobody else may move them
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_column
declare
  followed record;
  key bigint;
  reached bigint;
begin
  return query select r.consumer, 'restored', r.slots from ledger.recognise_history() as r;
  for followed in select c.consumer, c.marks from ledger.consumers as c order by c.consumer loop
    slots := 0;
    for slot in 0 .. 15 loop
      key := ledger.cursor_key(followed.consumer, slot);
      reached := pg_sequence_last_value(ledger.cursor(followed.consumer, slot));
      -- In this order: the cursor may have moved since, to what was drawn since.
      if reached > (select last_value from ledger.positions) and pg_try_advisory_xact_lock(key) then
        perform setval(ledger.cursor(followed.consumer, slot), least(followed.marks[slot + 1], (select last_value from ledger.positions)));
        slots := slots + 1;
      end if;
    end loop;
    if slots > 0 then
      consumer := followed.consumer;
      finding := 'ahead';
      return next;
    end if;
  end loop;
  -- A row for each minute: no cursor for each batch, which is why those are sequences.
  for followed in
    select c.consumer from ledger.consumers as c
    where c.marked_at < clock_timestamp() - '1 minute'::interval and c.marks <> ledger.cursors(c.consumer)
    for update skip locked
  loop
    perform ledger.set_marks(followed.consumer, ledger.cursors(followed.consumer));
  end loop;
end
$$;
comment on function ledger.keep_marks() is
  'To be called every few seconds: keeps in ledger.consumers where the cursors are, no more than once a minute, so that a dump has it as of '
  'the moment of its rows. What it mends it returns: restored (ledger.recognise_history()), and ahead, a cursor above the last position that was '
  'drawn, under which nothing would be handed over, set back to its mark; slots: how many.';
grant execute on function ledger.keep_marks() to rowhouse_worker, rowhouse_owner;
set role rowhouse_owner;

--@ data ledger.consumers
select ledger.add_consumer('jobs', '{app.jobs,app.files}', 0);
