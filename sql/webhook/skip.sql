--@ function webhook.skip_entries()
set role rowhouse_dispatcher;
create function webhook.skip_entries()
returns void
language plpgsql
volatile
security definer -- the cursors are the dispatcher's: nobody else may move them
set search_path = ''
parallel unsafe
as $$
declare
  drawn bigint := (select last_value from ledger.positions);
  slots smallint[];
  uptos bigint[];
begin
  select array_agg(s.slot), array_agg(s.settled) into slots, uptos from ledger.slots('webhooks', drawn) as s;
  -- In this order: with no sender now there was no endpoint then, since endpoints have secrets (webhook.put_away).
  if exists (select from webhook.senders) then
    return;
  end if;
  for nth in 1 .. cardinality(slots) loop
    if pg_try_advisory_xact_lock(ledger.cursor_key('webhooks', slots[nth]))
       and coalesce(pg_sequence_last_value(ledger.cursor('webhooks', slots[nth])), 0) < uptos[nth] then
      perform setval(ledger.cursor('webhooks', slots[nth]), uptos[nth]);
    end if;
  end loop;
end
$$;
comment on function webhook.skip_entries() is
  'To be called now and then: where no worker has ever had a key for webhooks, and so nobody has an endpoint, the consumer moves past what is '
  'settled without a look at it. Or the first endpoint would be sent everything since the installation.';
grant execute on function webhook.skip_entries() to rowhouse_worker;
set role rowhouse_owner;
