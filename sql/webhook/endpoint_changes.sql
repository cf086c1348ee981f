--@ function webhook.refuse_endpoint(text,text)
create function webhook.refuse_endpoint(broken text, missing text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
declare
  field text := coalesce(nullif(missing, ''), (
    select attname from pg_catalog.pg_constraint join pg_catalog.pg_attribute on attrelid = conrelid and attnum = conkey[1]
    where conrelid = 'webhook.endpoints'::regclass and conname = broken));
begin
  perform request.raise_error('webhook_endpoint_invalid',
    field || case when missing <> '' then ' must not be null' else ' does not fit' end,
    field || ': ' || case field
      when 'url' then 'https, without credentials or fragment, at most 2048 characters'
      -- Not a name such as app.jobs.*: edges let no text pass that could name a table.
      when 'event_types' then '1 to 100, words of a-z, A-Z, 0-9, _ and * with dots between them, such as order.*; 10 with a * before the end'
      when 'ordering' then 'none, subject or endpoint'
      when 'rate' then '1 to 10000 a second, or null'
      when 'headers' then 'an object of names and values'
      when 'projection' then 'at most 100 parts of data, such as changed or new.status, or null'
      when 'signing' then 'v1, v1a or both'
      when 'timeout_ms' then '1000 to 30000'
      when 'enabled' then 'true or false'
      when 'description' then 'at most 1000 characters'
    end);
end
$$;
comment on function webhook.refuse_endpoint(text, text) is
  'Raises webhook_endpoint_invalid for a check of webhook.endpoints that does not hold, or a column that is null: named as PostgreSQL''s diagnostics do.';

--@ function webhook.check_endpoint(webhook.endpoints)
create function webhook.check_endpoint(wanted webhook.endpoints)
returns void
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
declare
  rules text;
  broken text;
  missing text;
begin
  select string_agg(case contype
      when 'n' then format('(null, %L, %I is not null)', attname, attname)
      else format('(%L, null, %s)', conname, pg_get_expr(conbin, conrelid))
    end, ', ' order by contype desc, conname) into rules
  from pg_catalog.pg_constraint join pg_catalog.pg_attribute on attrelid = conrelid and attnum = conkey[1]
  where conrelid = 'webhook.endpoints'::regclass and contype in ('n', 'c') and attgenerated = '';
  -- The text is the catalogue's own, never a caller's; the row is a bind parameter.
  execute format('select rule.broken, rule.missing from (select ($1).*) as endpoint, lateral (values %s) as rule (broken, missing, holds)
    where not rule.holds limit 1', rules)
  into broken, missing using wanted;
  if coalesce(broken, missing) is not null then
    perform webhook.refuse_endpoint(broken, missing);
  end if;
end
$$;
comment on function webhook.check_endpoint(webhook.endpoints) is
  'Asks the constraints of webhook.endpoints whether they hold, before PostgreSQL does, whose answer to an update nothing of ours could put into words. '
  'Raises webhook_endpoint_invalid.';

--@ function webhook.guard_endpoint()
create function webhook.guard_endpoint()
returns trigger
language plpgsql
volatile
security definer -- clients hold no grant on secrets and states
set search_path = ''
parallel unsafe
as $$
begin
  new.revision := old.revision + 1;
  if (new.enabled and not old.enabled) or new.url is distinct from old.url or new.headers is distinct from old.headers then
    -- Another generation: what a worker still has to say of the receiver before counts no more.
    update webhook.endpoint_states
    set circuit = 'closed', opened = 0, paused_until = null, failing_since = null, failures = 0, last_error = null, generation = generation + 1
    where tenant_id = new.tenant_id and endpoint_id = new.id;
  end if;
  if new.enabled and not old.enabled then
    new.disabled_reason := null;
    new.disabled_at := null;
  elsif old.enabled and not new.enabled then
    new.disabled_reason := coalesce(new.disabled_reason, 'by_request');
    new.disabled_at := now();
  end if;
  if new.url is distinct from old.url then
    perform webhook.check_url(new.url);
  end if;
  if new.headers is distinct from old.headers then
    new.headers := webhook.keep_headers(new.id, new.headers);
  end if;
  if new.signing is distinct from old.signing then
    perform webhook.add_missing_secrets(new.id, new.signing);
  end if;
  perform webhook.check_endpoint(new);
  return new;
end
$$;
comment on function webhook.guard_endpoint() is
  'What follows from a change of an endpoint: workers see its revision, the values of headers are put away encrypted, an endpoint that is '
  'enabled again, or gets another url or other headers, starts without a past. What it may not become is refused as create_webhook_endpoint does.';

--@ trigger guard_endpoint on webhook.endpoints
create trigger guard_endpoint before update on webhook.endpoints
  for each row execute function webhook.guard_endpoint();

--@ function webhook.half_open(text,uuid)
set role rowhouse_dispatcher;
create function webhook.half_open(tenant text, endpoint uuid)
returns void
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  -- Not closed: one delivery says whether the receiver is well, and what has failed since when still counts.
  update webhook.endpoint_states as s set circuit = 'half_open', opened = 0, paused_until = null, generation = s.generation + 1
  where s.tenant_id = tenant and s.endpoint_id = endpoint and (s.circuit <> 'closed' or s.paused_until > now());
end;
comment on function webhook.half_open(text, uuid) is
  'Part of webhook.replay() and webhook.send_test(): one delivery goes to an endpoint whose circuit is open, or that is paused, without waiting '
  'for the end of that. If it arrives, the others follow; if not, the circuit is open for as long as the first time.';
set role rowhouse_owner;
