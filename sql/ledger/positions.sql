--@ function ledger.position_at(timestamptz)
set role rowhouse_dispatcher;
create function ledger.position_at(at timestamptz)
returns bigint
language plpgsql
stable
security definer -- looks at entries that the member may not see, and tells no more than their positions
set search_path = ''
parallel safe
as $$
declare
  own_tenant constant text := request.tenant_id();
  lowest bigint := 0;
  highest bigint := (select last_value from ledger.positions);
  middle bigint;
  probed record;
  first_found bigint;
begin
  -- Times rise with positions, both being drawn when the entry is written: as good as an index by time, which every write would pay for.
  while lowest <= highest loop
    middle := lowest + (highest - lowest) / 2;
    select e.position, e.occurred_at into probed from ledger.entries as e
    where e.tenant_id = own_tenant and e.position >= middle order by e.position limit 1;
    if probed.occurred_at < at then
      lowest := middle + 1;
    else
      first_found := coalesce(probed.position, first_found);
      highest := middle - 1;
    end if;
  end loop;
  return first_found;
end
$$;
comment on function ledger.position_at(timestamptz) is
  'The position of the sealed tenant''s first entry at or after a time; null where there is none. Entries of transactions that wrote at '
  'the same moment may lie some microseconds to the other side.';
grant execute on function ledger.position_at(timestamptz) to tenant_user;
set role rowhouse_owner;

--@ function ledger.has_entry(bigint)
set role rowhouse_dispatcher;
create function ledger.has_entry(of_position bigint)
returns boolean
language plpgsql
stable
security definer -- members have no grant on entries: they contain columns that no view shows
set search_path = ''
parallel safe
as $$
declare
  own_tenant text := request.tenant_id();
begin
  return exists (select from ledger.entries as e where e.tenant_id = own_tenant and e.position = of_position);
end
$$;
comment on function ledger.has_entry(bigint) is 'Whether the sealed tenant''s ledger has an entry of this position.';
grant execute on function ledger.has_entry(bigint) to rowhouse_edge;
set role rowhouse_owner;

--@ function ledger.require_entry(bigint)
create function ledger.require_entry(of_position bigint)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  if not ledger.has_entry(of_position) then
    perform request.raise_error('event_unknown', 'the ledger has no such event, or keeps it no longer',
      'read what you have missed from v1.events, and open the stream without Last-Event-ID');
  end if;
end
$$;
comment on function ledger.require_entry(bigint) is 'Raises event_unknown where ledger.has_entry() says no.';
grant execute on function ledger.require_entry(bigint) to rowhouse_edge;

--@ function ledger.stream_window(bigint,bigint,integer)
set role rowhouse_dispatcher;
create function ledger.stream_window(after bigint, known bigint, max_entries integer)
returns table (through bigint, is_full boolean, has_more boolean)
language plpgsql
volatile
security definer -- reads the writers' locks and the sequence, which say nothing to a member; of entries, where the sealed tenant's are
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- planning 16 partitions costs more than reading one
parallel unsafe
as $$
declare
  own_tenant text := request.tenant_id();
  -- The sequence, the writers' locks and the entries have to be read in this order, each with a snapshot of its own.
  drawn bigint := (select last_value from ledger.positions);
  settled bigint := ledger.settled_position(ledger.slot(own_tenant), drawn);
begin
  -- Writers' locks are rounded down: what was settled once is settled, even if a later writer's lock is below it. Unless it has not been
  -- drawn: then it was known of a ledger that went on further before this one was restored.
  settled := greatest(settled, least(greatest(known, after), drawn));
  select e.position into through
  from ledger.entries as e
  where e.tenant_id = own_tenant and e.position > after and e.position <= settled and max_entries is not null
  order by e.position
  offset max_entries - 1 limit 1;
  is_full := found;
  through := coalesce(through, settled);
  has_more := exists (select from ledger.entries as e where e.tenant_id = own_tenant and e.position > stream_window.through);
  return next;
end
$$;
comment on function ledger.stream_window(bigint, bigint, integer) is
  'Up to where a stream of the sealed tenant may be given entries behind `after`: not past a writer that has not ended (see '
  'ledger.announce), and no more than max_entries of them (then is_full), if that is given. known: what an earlier call returned as `through`. '
  'Below `after` where so much has never been drawn. '
  'has_more: there are committed entries behind.';
grant execute on function ledger.stream_window(bigint, bigint, integer) to rowhouse_edge;
set role rowhouse_owner;

--@ grants ledger.stream
grant usage on schema request, auth to rowhouse_dispatcher;
grant execute on function ledger.slot(text), request.tenant_id(), request.seal(), request.tenant_required(), request.raise_error(text, text, text)
  to rowhouse_dispatcher;
set role rowhouse_sealer;
grant execute on function auth.verified_seal() to rowhouse_dispatcher;
set role rowhouse_owner;
