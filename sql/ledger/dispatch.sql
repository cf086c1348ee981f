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

--@ function ledger.claim(text,integer,integer,smallint[])
set role rowhouse_dispatcher;
create function ledger.claim(consumer text, max_slots integer, max_entries integer, among smallint[] default null)
returns table (slot smallint, after_position bigint, upto_position bigint, more boolean)
language plpgsql
volatile
security invoker
set search_path = ''
-- Planning 16 partitions costs more than reading a batch of them. The generic plan guesses at the range, so it has to be kept to the index.
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  drawn bigint := (select last_value from ledger.positions);
  wanted text[] := (select c.tables from ledger.consumers as c where c.consumer = claim.consumer);
  -- What is not wanted costs a look alone: rounds cost more.
  read_entries constant integer := case when wanted is null then max_entries else 20 * max_entries end;
  free record;
  reached bigint;
  slots smallint[] := '{}';
  afters bigint[] := '{}';
  uptos bigint[] := '{}';
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
    exit when cardinality(slots) = max_slots;
    continue when free.slot <> all (among);
    continue when coalesce(pg_sequence_last_value(ledger.cursor(claim.consumer, free.slot)), 0) >= free.settled;
    -- The session's, since the cursor moves after the commit. Held already: an earlier claim of this session was not settled.
    continue when free.holder is null and not pg_try_advisory_lock(ledger.cursor_key(claim.consumer, free.slot));
    reached := coalesce(pg_sequence_last_value(ledger.cursor(claim.consumer, free.slot)), 0);
    if reached >= free.settled then
      perform pg_advisory_unlock(ledger.cursor_key(claim.consumer, free.slot));
      continue;
    end if;
    slots := slots || free.slot;
    afters := afters || reached;
    uptos := uptos || free.settled;
  end loop;
  if cardinality(slots) = 0 then
    return;
  end if;
  return query
    select c.slot, c.after_position, coalesce(last_of_batch.position, c.settled), coalesce(last_of_batch.position < c.settled, false)
    from unnest(slots, afters, uptos) as c (slot, after_position, settled)
    left join lateral (
      select coalesce((array_agg(e.position) filter (where e.is_wanted))[max_entries],
        case when count(*) = read_entries then max(e.position) end)
      from (
        select e.position, wanted is null or e.table_name = any (wanted) from ledger.entries as e
        where e.slot = c.slot and e.position > c.after_position and e.position <= c.settled
        order by e.position
        limit read_entries) as e (position, is_wanted)) as last_of_batch (position) on true;
end
$$;
comment on function ledger.claim(text, integer, integer, smallint[]) is
  'Takes up to max_slots free slots of a consumer (among those named, if any are), as locks of the session. To be handed over are the entries of each with '
  'after_position < position <= upto_position, at most max_entries of the consumer''s tables; `more` are left. Read them in a later statement: one that calls this function has a '
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
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  wanted text[] := (select c.tables from ledger.consumers as c where c.consumer = take.consumer);
  slots smallint[];
  afters bigint[];
  uptos bigint[];
begin
  select array_agg(c.slot), array_agg(c.after_position), array_agg(c.upto_position) into slots, afters, uptos
  from ledger.claim(take.consumer, max_slots, max_entries) as c;
  if slots is null then
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
  key bigint;
begin
  for moved in select m.slot, m.position from unnest(slots, positions) as m (slot, position) loop
    key := ledger.cursor_key(advance.consumer, moved.slot);
    -- Counted: given twice to who holds it, and to nobody while another does.
    if pg_try_advisory_lock(key) then
      perform pg_advisory_unlock(key);
      if moved.position between coalesce(pg_sequence_last_value(ledger.cursor(advance.consumer, moved.slot)), 0) and drawn then
        perform setval(ledger.cursor(advance.consumer, moved.slot), moved.position);
      end if;
    end if;
    if not pg_advisory_unlock(key) then
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

--@ function ledger.doze(text,smallint[])
set role rowhouse_dispatcher;
create function ledger.doze(consumer text, among smallint[] default null)
returns boolean
language plpgsql
volatile
security definer -- the sequences are the dispatcher's to read
set search_path = ''
parallel unsafe
as $$
declare
  drawn bigint;
begin
  perform pg_advisory_lock_shared(ledger.sleeper_key());
  -- A writer that found no sleeper took its writer's lock before it looked: it is still seen here, or its entry is.
  drawn := (select last_value from ledger.positions);
  if ledger.is_behind(doze.consumer, drawn, among) then
    perform pg_advisory_unlock_shared(ledger.sleeper_key());
    return false;
  end if;
  return true;
end
$$;
comment on function ledger.doze(text, smallint[]) is
  'True: nothing is pending (in the slots named, if any are), and this session is woken by NOTIFY ledger_wake when something is; listen first, call rouse() after. '
  'False: there is work to take.';
grant execute on function ledger.doze(text, smallint[]) to rowhouse_worker;
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
