--@ function ledger.is_behind(text,bigint,smallint[])
set role rowhouse_dispatcher;
create function ledger.is_behind(consumer text, drawn bigint, among smallint[] default null)
returns boolean
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select exists (
    select from generate_series(0, 15) as s (slot)
    where coalesce(pg_sequence_last_value(ledger.cursor(is_behind.consumer, s.slot)), 0) < drawn
      and (among is null or s.slot = any (among)));
end;
comment on function ledger.is_behind(text, bigint, smallint[]) is
  'Whether a consumer has any slot, or any among those named, to follow up to a position.';
set role rowhouse_owner;

--@ function ledger.claim(text,integer,smallint[])
set role rowhouse_dispatcher;
create function ledger.claim(consumer text, max_slots integer, among smallint[] default null)
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
  elsif not ledger.is_behind(claim.consumer, drawn, among) then
    return; -- the usual look: it costs a third of one at the locks
  end if;
  for free in
    select s.slot, s.settled, s.holder from ledger.slots(claim.consumer, drawn) as s
    where s.holder is null or s.holder = pg_backend_pid()
    order by random() -- whoever takes a few slots at a time leaves none behind
  loop
    exit when max_slots = 0;
    continue when free.slot <> all (among);
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
comment on function ledger.claim(text, integer, smallint[]) is
  'Takes up to max_slots free slots of a consumer (among those named, if any are), as locks of the session. To be handed over are the entries of each with '
  'after_position < position <= settled_position, or the first of them. Read them in a later statement: one that calls this function has a '
  'snapshot from before it. Then commit, and advance(): a crash in between hands the same entries over again.';
set role rowhouse_owner;

--@ function ledger.take(text,integer,integer)
set role rowhouse_dispatcher;
create function ledger.take(consumer text, max_slots integer, max_entries integer)
returns table (slot smallint, upto_position bigint, "position" bigint, tenant_id text, tier text, table_name text, operation text,
  row_id text, trace_id text, old jsonb, new jsonb)
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
  -- What is not wanted costs a look alone: rounds cost more.
  most_read constant integer := case when wanted is null then max_entries else 20 * max_entries end;
  slots smallint[];
  afters bigint[];
  uptos bigint[];
begin
  select array_agg(c.slot), array_agg(c.after_position), array_agg(c.settled_position) into slots, afters, uptos
  from ledger.claim(take.consumer, max_slots) as c;
  if slots is null then
    return;
  end if;
  select array_agg(c.slot), array_agg(case when batch.has_wanted then c.after_position end), array_agg(batch.upto_position) into slots, afters, uptos
  from unnest(slots, afters, uptos) as c (slot, after_position, settled_position)
  cross join lateral (
    select count(*) filter (where e.is_wanted) > 0,
      coalesce((array_agg(e.position) filter (where e.is_wanted))[max_entries],
        case when count(*) = most_read then max(e.position) end, c.settled_position)
    from (
      select e.position, wanted is null or e.table_name = any (wanted) from ledger.entries as e
      where e.slot = c.slot and e.position > c.after_position and e.position <= c.settled_position
      order by e.position
      limit most_read) as e (position, is_wanted)) as batch (has_wanted, upto_position);
  -- A statement less where nothing is wanted, which is most rounds.
  if array_remove(afters, null) = '{}' then
    return query select c.slot, c.upto_position, null::bigint, null, null, null, null, null, null, null::jsonb, null::jsonb
      from unnest(slots, uptos) as c (slot, upto_position);
    return;
  end if;
  return query
    select c.slot, c.upto_position, e.position, e.tenant_id::text, t.tier, e.table_name, e.operation, e.row_id, e.trace_id, e.old, e.new
    from unnest(slots, afters, uptos) as c (slot, after_position, upto_position)
    left join ledger.entries as e on e.slot = c.slot and e.position > c.after_position and e.position <= c.upto_position
      and (wanted is null or e.table_name = any (wanted))
    left join tenancy.tenants as t on t.id = e.tenant_id
    order by c.slot, e.position;
end
$$;
comment on function ledger.take(text, integer, integer) is
  'ledger.claim(), and the entries of the consumer''s tables: at most max_entries of each slot, in order. A slot that has none is one '
  'row without a position. Hand them over, commit, then advance() each slot to its upto_position.';
grant execute on function ledger.take(text, integer, integer) to rowhouse_worker;
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
