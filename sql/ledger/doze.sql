--@ function ledger.doze(text)
set role rowhouse_dispatcher;
create function ledger.doze(consumer text)
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
  if ledger.is_behind(doze.consumer, drawn) then
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
