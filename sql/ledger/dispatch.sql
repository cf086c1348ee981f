--@ function ledger.is_behind(text,bigint)
set role rowhouse_dispatcher;
create function ledger.is_behind(consumer text, drawn bigint)
returns boolean
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select exists (
    select from generate_series(0, 15) as s (slot)
    where coalesce(pg_sequence_last_value(ledger.cursor(is_behind.consumer, s.slot)), 0) < drawn);
end;
comment on function ledger.is_behind(text, bigint) is 'Whether a consumer has any slot to follow up to a position.';
set role rowhouse_owner;

--@ function ledger.claim(text,integer)
set role rowhouse_dispatcher;
create function ledger.claim(consumer text, max_slots integer)
returns table (slot smallint, after_position bigint, settled_position bigint)
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_column
declare
  drawn bigint := (select last_value from ledger.positions);
  free record;
begin
  -- The sequence, the writers' locks and the entries have to be read in this order, each with a snapshot of its own.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = 'active_sql_transaction', message = 'ledger.claim() needs isolation level read committed';
  elsif not exists (select from ledger.consumers as c where c.consumer = claim.consumer) then
    raise exception using errcode = 'no_data_found', message = format('no consumer %s of the ledger', claim.consumer);
  elsif not ledger.is_behind(claim.consumer, drawn) then
    return; -- the usual look: it costs a third of one at the locks
  end if;
  for free in
    select s.slot, s.settled, s.holder from ledger.slots(claim.consumer, drawn) as s
    where s.holder is null or s.holder = pg_backend_pid()
    order by random() -- whoever takes a few slots at a time leaves none behind
  loop
    exit when max_slots = 0;
    continue when coalesce(pg_sequence_last_value(ledger.cursor(claim.consumer, free.slot)), 0) >= free.settled;
    -- The session's, since the cursor moves after the commit. Held already: an earlier claim of this session was not settled.
    continue when free.holder is null and not pg_try_advisory_lock(ledger.cursor_key(claim.consumer, free.slot));
    after_position := coalesce(pg_sequence_last_value(ledger.cursor(claim.consumer, free.slot)), 0);
    if after_position >= free.settled then
      perform pg_advisory_unlock(ledger.cursor_key(claim.consumer, free.slot));
      continue;
    end if;
    slot := free.slot;
    settled_position := free.settled;
    max_slots := max_slots - 1;
    return next;
  end loop;
end
$$;
comment on function ledger.claim(text, integer) is
  'Takes up to max_slots free slots of a consumer, as locks of the session. To be handed over are the entries of each with '
  'after_position < position <= settled_position, or the first of them, but for those of tenants that are set aside (ledger.rejoin()). Read them in a later statement: one that calls this function has a '
  'snapshot from before it. Then commit, and advance(): a crash in between hands the same entries over again.';
set role rowhouse_owner;

--@ function ledger.advance(text,smallint[],bigint[])
set role rowhouse_dispatcher;
create function ledger.advance(consumer text, slots smallint[], positions bigint[])
returns void
language plpgsql
volatile
security definer -- the cursors are the dispatcher's: nobody else may move them
set search_path = ''
parallel unsafe
as $$
declare
  drawn bigint := (select last_value from ledger.positions);
  moved record;
begin
  for moved in
    select m.slot, m.position, ledger.cursor_key(advance.consumer, m.slot) as key, ledger.cursor(advance.consumer, m.slot) as cursor
    from unnest(slots, positions) as m (slot, position)
  loop
    -- Counted: given twice to who holds it, and to nobody while another does.
    if pg_try_advisory_lock(moved.key) then
      if moved.position between coalesce(pg_sequence_last_value(moved.cursor), 0) and drawn then
        perform setval(moved.cursor, moved.position);
      end if;
      perform pg_advisory_unlock(moved.key);
    end if;
    if not pg_advisory_unlock(moved.key) then
      raise exception using errcode = 'lock_not_available',
        message = format('slot %s of %s is not this session''s', moved.slot, advance.consumer);
    end if;
  end loop;
end
$$;
comment on function ledger.advance(text, smallint[], bigint[]) is
  'After the commit of what claim() or take() returned, in the same session: moves the cursors there and frees the slots. No rollback '
  'takes it back: never call it in the transaction that hands over.';
grant execute on function ledger.advance(text, smallint[], bigint[]) to rowhouse_worker;
set role rowhouse_owner;

--@ function ledger.release(text)
set role rowhouse_dispatcher;
create function ledger.release(consumer text)
returns void
language sql
volatile
security definer -- as ledger.advance()
set search_path = ''
parallel unsafe
begin atomic
  select pg_advisory_unlock(ledger.cursor_key(release.consumer, s.slot))
  from ledger.slots(release.consumer, 0) as s where s.holder = pg_backend_pid();
end;
comment on function ledger.release(text) is 'Gives the session''s slots of a consumer back, with their cursors where they are: what was taken is taken again.';
grant execute on function ledger.release(text) to rowhouse_worker;
set role rowhouse_owner;
