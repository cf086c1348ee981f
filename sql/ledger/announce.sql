--@ function ledger.writer_key(smallint,bigint)
create function ledger.writer_key(writer_slot smallint, bucket bigint)
returns bigint
language sql
immutable
security invoker
parallel safe
return (21071::bigint << 48) | (writer_slot::bigint << 40) | bucket;
comment on function ledger.writer_key(smallint, bigint) is 'Advisory lock key of a writer: 21071 ("RO"), its slot, and its lowest position / 32.';

--@ function ledger.sleeper_key()
create function ledger.sleeper_key()
returns bigint
language sql
immutable
security invoker
parallel safe
return (21071::bigint << 48) | (255::bigint << 40);
comment on function ledger.sleeper_key() is 'Advisory lock key that sleeping followers hold, shared.';
grant execute on function ledger.sleeper_key() to rowhouse_dispatcher;

--@ function ledger.announce(smallint)
create function ledger.announce(writer_slot smallint)
returns void
language sql
volatile
security invoker
parallel unsafe
-- Where nothing was drawn yet, 0 holds the dispatcher back; a lock on null would be none.
return pg_advisory_xact_lock_shared(ledger.writer_key(writer_slot, coalesce(pg_sequence_last_value('ledger.positions'), 0) / 32));
comment on function ledger.announce(smallint) is
  'Called for a slot before entries are written to it. A shared lock says until the transaction ends: I may still add entries above '
  'this position. The dispatcher stays below the lowest one (ledger.take), so an entry that commits late is neither passed by nor '
  'overtaken. Positions are rounded down to 32, so that a long transaction holds few locks.';

--@ function ledger.has_sleeper()
create function ledger.has_sleeper()
returns boolean
language sql
volatile
security invoker
parallel unsafe
return case when pg_try_advisory_lock(ledger.sleeper_key()) then not pg_advisory_unlock(ledger.sleeper_key()) else true end;
comment on function ledger.has_sleeper() is
  'Whether a follower sleeps. Asked after ledger.announce(): one that falls asleep later sees this writer. If so: notify ledger_wake. '
  'NOTIFY in every transaction would serialise commits (0.72 of the write throughput).';
