--@ function ledger.append_event(text,text,text,jsonb)
create function ledger.append_event(to_tenant text, type text, subject text, data jsonb)
returns bigint
language plpgsql
volatile
security definer -- as ledger.record()
set search_path = ''
parallel unsafe
as $$
declare
  to_slot constant smallint := ledger.slot(to_tenant);
  appended bigint;
begin
  perform ledger.announce(to_slot);
  if ledger.has_sleeper() then
    notify ledger_wake;
  end if;
  appended := nextval('ledger.positions'); -- not RETURNING: the owner may not read there
  insert into ledger.entries (tenant_id, position, slot, table_name, operation, row_id, new,
    subject, role, token_id, address, user_agent, request_id, trace_id)
  select to_tenant, appended, to_slot, append_event.type, 'emit', append_event.subject, append_event.data, origin.*
  from ledger.origin() as origin;
  return appended;
end
$$;
comment on function ledger.append_event(text, text, text, jsonb) is
  'Emits an event of the system''s, of any type, to any tenant, if the transaction commits. Returns its position.';
grant execute on function ledger.append_event(text, text, text, jsonb) to rowhouse_dispatcher;

--@ function ledger.emit_event(text,text,jsonb)
create function ledger.emit_event(type text, subject text, data jsonb)
returns bigint
language plpgsql
volatile
security definer -- as ledger.record()
set search_path = ''
parallel unsafe
as $$
declare
  largest constant integer := 65536;
  size integer := octet_length(data::text);
begin
  if type !~ '^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$' or length(type) > 100 or type is null then
    perform request.raise_error('event_invalid', 'type: up to 100 characters, words of a-z, A-Z, 0-9 and _ with dots between them', 'such as order.paid');
  -- Or it would pass for what a table says, today or once there is one.
  elsif lower(split_part(type, '.', 1)) in ('rowhouse', 'webhook', 'webhooks', 'event', 'events', 'system')
     or exists (select from pg_catalog.pg_namespace where nspname = lower(split_part(emit_event.type, '.', 1)))
     or starts_with(lower(type), 'pg_') then
    perform request.raise_error('event_invalid', format('types that begin with %s are the system''s', split_part(type, '.', 1)), 'begin with a word of your own, such as order.paid');
  elsif subject = '' or length(subject) > 255 or subject ~ '[\x01-\x1f\x7f]' then
    perform request.raise_error('event_invalid', 'subject: 1 to 255 characters, no control characters', 'name what the event is about, or leave it out');
  elsif size > largest then
    perform request.raise_error('event_too_large', format('its data has %s bytes, %s are allowed', size, largest),
      'store it, in a file for example, and send where it is');
  end if;
  return ledger.append_event(request.tenant_id(), type, subject, data);
end
$$;
comment on function ledger.emit_event(text, text, jsonb) is
  'Emits an event of the sealed tenant, if the transaction commits. Returns its position. Its data is not compared with the schema of a declared '
  'type. Raises event_invalid, event_too_large.';
grant execute on function ledger.emit_event(text, text, jsonb) to rowhouse_worker;
