-- migrate:up
set local lock_timeout = '3s';
set local search_path = '';

--@ drop view v1.webhook_deliveries
drop view v1.webhook_deliveries;

--@ drop function ledger.claim(text, integer, integer, smallint[])
drop function ledger.claim(text, integer, integer, smallint[]);

--@ function ledger.claim(text, integer, smallint[])
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

--@ function ledger.take(text, integer, integer)
set role rowhouse_dispatcher;
create or replace function ledger.take(consumer text, max_slots integer, max_entries integer)
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

--@ function ledger.advance(text, smallint[], bigint[])
set role rowhouse_dispatcher;
create or replace function ledger.advance(consumer text, slots smallint[], positions bigint[])
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

--@ table webhook.endpoints
-- Of a partitioned table there is no other way; a tenant has a handful of endpoints.
-- squawk-ignore require-concurrent-index-creation
create index endpoints_enabled_idx on webhook.endpoints (tenant_id) where enabled;
--= create table webhook.endpoints (
--=   tenant_id tenancy.tenant_id not null,
--=   id uuid not null default uuidv7(),
--=   url text not null,
--=   event_types text[] not null default '{*}',
--=   type_patterns text[] not null generated always as (webhook.like_patterns(event_types)) stored,
--=   ordering text collate "C" not null default 'none',
--=   rate integer,
--=   headers jsonb not null default '{}',
--=   projection text[],
--=   signing text[] not null default '{v1}',
--=   timeout_ms integer not null default 15000,
--=   enabled boolean not null default true,
--=   description text not null default '',
--=   disabled_reason text collate "C",
--=   disabled_at timestamptz,
--=   revision bigint not null default 1,
--=   created_by text default request.subject(),
--=   created_at timestamptz not null default now(),
--=   updated_at timestamptz not null default now(),
--=   constraint endpoints_pkey primary key (tenant_id, id),
--=   constraint endpoints_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
--=   constraint endpoints_url_form check (
--=     url ~ '^https?://([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][!-~]*)?$' and url !~ '#' and length(url) <= 2048),
--=   constraint endpoints_event_types_form check (
--=     cardinality(event_types) between 1 and 100
--=     and array_to_string(event_types, ',', '?') ~ '^[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*(,[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*)*$'
--=     and length(array_to_string(event_types, ',', '?')) <= 10000),
--=   constraint endpoints_ordering_known check (ordering in ('none', 'endpoint', 'subject')),
--=   constraint endpoints_rate_range check (rate between 1 and 10000),
--=   constraint endpoints_headers_form check (jsonb_typeof(headers) = 'object'),
--=   constraint endpoints_projection_form check (
--=     cardinality(projection) between 0 and 100
--=     and array_to_string(projection, ',', '?') ~ '^([A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?(,[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?)*)?$'),
--=   constraint endpoints_signing_known check (signing <@ '{v1,v1a}' and cardinality(signing) between 1 and 2),
--=   constraint endpoints_timeout_range check (timeout_ms between 1000 and 30000),
--=   constraint endpoints_description_length check (length(description) <= 1000),
--=   constraint endpoints_disabled_says_why check (enabled = (disabled_reason is null) and enabled = (disabled_at is null))
--= ) partition by hash (tenant_id);
--= comment on table webhook.endpoints is $$Webhook endpoints
--=
--= Where the tenant's events are sent. For admins and owners. Make one with create_webhook_endpoint, which shows its secret once.$$;
--= comment on column webhook.endpoints.url is $$https, without credentials or a fragment. Private and local addresses are refused when it is connected to.
--= @sample "https://hooks.invalid/prove"$$;
--= comment on column webhook.endpoints.event_types is $$Types of events; * stands for any characters.
--= @sample ["app.jobs.*"]$$;
--= comment on column webhook.endpoints.ordering is
--=   'none: as soon as possible; subject: the events of one subject strictly one after the other; endpoint: all of them.';
--= comment on column webhook.endpoints.rate is 'Deliveries a second at the most; no limit of its own where null.';
--= comment on column webhook.endpoints.headers is
--=   'Sent with each delivery. Values are stored encrypted and shown as null; a null that is sent back leaves the value as it is.';
--= comment on column webhook.endpoints.projection is $$Which parts of an event's data are sent; all where null.
--= @sample ["changed", "new.status"]$$;
--= comment on column webhook.endpoints.signing is $$v1: HMAC-SHA256 with the shared secret; v1a: ed25519, verified with public_keys.
--= @sample ["v1"]$$;
--= comment on column webhook.endpoints.timeout_ms is 'How long the receiver may take for its answer.';
--= comment on column webhook.endpoints.enabled is '@sample false';
--= comment on column webhook.endpoints.disabled_at is '@sample "2999-01-01T00:00:00Z"';
--= comment on column webhook.endpoints.disabled_reason is
--=   'by_request; gone: it answered 410; failing: nothing but failures for days. Set enabled to true to send again, what was held included.';
--= create index endpoints_enabled_idx on webhook.endpoints (tenant_id) where enabled;
--= select tenancy.protect('webhook.endpoints', partitions => 8, read_role => 'admin', write_role => 'admin', client_verbs => '{}');

--@ function webhook.refuse_endpoint(text, text)
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
    case when missing <> '' then format('%s must not be null', missing) else format('%s does not hold', broken) end,
    field || ': ' || case field
      when 'url' then 'https, without credentials or fragment, at most 2048 characters'
      when 'event_types' then '1 to 100, such as app.jobs.*'
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
create or replace function webhook.guard_endpoint()
returns trigger
language plpgsql
volatile
security definer -- clients hold no grant on secrets and states
set search_path = ''
parallel unsafe
as $$
begin
  new.revision := old.revision + 1;
  if new.enabled and not old.enabled then
    new.disabled_reason := null;
    new.disabled_at := null;
    update webhook.endpoint_states
    set circuit = 'closed', opened = 0, paused_until = null, failing_since = null, failures = 0, generation = generation + 1
    where tenant_id = new.tenant_id and endpoint_id = new.id;
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
  'enabled again starts without a past. What it may not become is refused as create_webhook_endpoint does.';

--@ function webhook.listeners()
set role rowhouse_dispatcher;
create function webhook.listeners()
returns text[]
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  select case when count(*) <= 64 then coalesce(array_agg(distinct e.tenant_id::text), '{}') end
  from (select e.tenant_id from webhook.endpoints as e where e.enabled limit 65) as e;
end;
comment on function webhook.listeners() is
  'The tenants that have an enabled endpoint; null where there are more than 64: looking for the entries of each would then cost more than reading all.';
set role rowhouse_owner;

--@ function webhook.heard_entries(smallint[], bigint[], bigint[], integer, text[])
set role rowhouse_dispatcher;
create function webhook.heard_entries(slots smallint[], afters bigint[], settleds bigint[], max_entries integer, listeners text[])
returns table (slot smallint, tenant_id text, "position" bigint, table_name text, operation text, subject text)
language plpgsql
stable
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.dispatch()
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel safe
as $$
#variable_conflict use_column
begin
  if listeners is null then
    return query
      select e.slot, e.tenant_id::text, e.position, e.table_name, e.operation, e.row_id
      from unnest(slots, afters, settleds) as c (slot, after_position, settled_position)
      cross join lateral (
        select * from ledger.entries as e
        where e.slot = c.slot and e.position > c.after_position and e.position <= c.settled_position
        order by e.position
        limit max_entries) as e;
  else
    return query
      select c.slot, e.tenant_id::text, e.position, e.table_name, e.operation, e.row_id
      from unnest(slots, afters, settleds) as c (slot, after_position, settled_position)
      cross join lateral (
        select e.*
        from unnest(listeners) as listener (tenant_id)
        cross join lateral (
          select * from ledger.entries as e
          where e.tenant_id = listener.tenant_id and e.position > c.after_position and e.position <= c.settled_position
          order by e.position
          limit max_entries) as e
        where ledger.slot(listener.tenant_id) = c.slot
        order by e.position
        limit max_entries) as e;
  end if;
end
$$;
comment on function webhook.heard_entries(smallint[], bigint[], bigint[], integer, text[]) is
  'The first max_entries entries of each slot, in its range of positions, that somebody may hear of: those of the listeners, or where that is null everybody''s.';
set role rowhouse_owner;

--@ function webhook.dispatch(integer, integer, smallint[])
set role rowhouse_dispatcher;
create or replace function webhook.dispatch(max_slots integer, max_entries integer, among smallint[] default null)
returns table (slot smallint, "position" bigint, entries integer, more boolean, tenant_id text, endpoint_id uuid)
language plpgsql
volatile
security definer -- matches every tenant's events with that tenant's endpoints; its caller is told which endpoints got work, no more
set search_path = ''
-- Planning 16 partitions each time costs more than the work. The plan outlives the statistics that it was made with, which are
-- never those of the moment: it must not come to read whole tables because they were small.
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
set jit = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  slots smallint[];
  afters bigint[];
  settleds bigint[];
  listeners text[];
begin
  select array_agg(c.slot), array_agg(c.after_position), array_agg(c.settled_position) into slots, afters, settleds
  from ledger.claim('webhooks', max_slots, among) as c;
  if slots is null then
    return;
  end if;
  -- In this order, with a snapshot for each: whoever wrote an entry that is settled had only endpoints that are seen now.
  listeners := webhook.listeners();
  if cardinality(listeners) = 0 then
    return query select c.slot, c.settled, null::integer, false, null::text, null::uuid from unnest(slots, settleds) as c (slot, settled);
    return;
  end if;
  return query
    with heard as materialized (
      select e.slot, e.tenant_id, e.position, ledger.event_type(e.table_name, e.operation) as type, e.subject, e.table_name as source, e.operation
      from webhook.heard_entries(slots, afters, settleds, max_entries, listeners) as e
    ), kinds as (
      select distinct e.tenant_id, e.type, e.source from heard as e
      where e.operation = 'emit' or e.source in (select s.name from ledger.event_sources as s where s.relation is not null) -- as ledger.events
    ), matches as materialized (
      select k.tenant_id, k.type, k.source, endpoint.id, endpoint.ordering
      from kinds as k
      cross join lateral (
        select e.id, e.ordering from webhook.endpoints as e
        where e.tenant_id = k.tenant_id and e.enabled and k.type like any (e.type_patterns)
          -- An endpoint is an admin's. Not asked of each event: the answer may read policies.
          and not exists (select from ledger.sources as s where s.name = k.source and s.least_role = 'owner')
        offset 0) as endpoint
    ), added as (
      insert into webhook.deliveries as d (tenant_id, endpoint_id, position, event_type, subject, ordering_key)
      select e.tenant_id, m.id, e.position, e.type, e.subject,
        webhook.ordering_key(m.ordering, e.subject)
      from heard as e
      join matches as m on m.tenant_id = e.tenant_id and m.type = e.type and m.source = e.source
      order by e.tenant_id, m.id, e.position
      on conflict do nothing -- handed over before, by a dispatcher that died before it could say so
      returning d.tenant_id, d.endpoint_id, d.position
    ), work as (
      select a.tenant_id, a.endpoint_id, min(a.position) as lowest from added as a group by a.tenant_id, a.endpoint_id
    ), lowered as (
      -- Only after such a repetition, or a rewind: an endpoint that was not there the first time.
      update webhook.endpoint_states as s set watermark = w.lowest - 1, generation = s.generation + 1
      from work as w
      where s.tenant_id = w.tenant_id and s.endpoint_id = w.endpoint_id and s.watermark >= w.lowest
    )
    select c.slot, case when e.entries = max_entries then e.last else c.settled end, coalesce(e.entries, 0),
      coalesce(e.entries = max_entries and e.last < c.settled, false), null::text, null::uuid
    from unnest(slots, settleds) as c (slot, settled)
    left join (select e.slot, count(*)::integer as entries, max(e.position) as last from heard as e group by e.slot) as e using (slot)
    union all
    select null, null, null, null, w.tenant_id::text, w.endpoint_id from work as w;
end
$$;
comment on function webhook.dispatch(integer, integer, smallint[]) is
  'Hands the entries of up to max_slots free slots of the ledger (among those named, if any are) over to the endpoints that want them. '
  'Returns the slots, for ledger.advance() after the commit, how many entries of tenants with endpoints were looked at (null: nobody has an '
  'endpoint), and whether there are more; and the endpoints that have new deliveries.';
grant execute on function webhook.dispatch(integer, integer, smallint[]) to rowhouse_worker;
set role rowhouse_owner;

--@ function v1.create_webhook_endpoint(text, text[], text, integer, jsonb, text[], text[], integer, boolean, text)
create or replace function v1.create_webhook_endpoint(
  url text, event_types text[] default '{*}', ordering text default 'none', rate integer default null, headers jsonb default '{}',
  projection text[] default null, signing text[] default '{v1}', timeout_ms integer default 15000, enabled boolean default true,
  description text default '')
returns json
language plpgsql
volatile
security definer -- clients hold no grant on secrets
set search_path = ''
parallel unsafe
as $$
declare
  made webhook.endpoints;
  endpoint_id uuid := uuidv7();
  shown text;
  broken text;
  missing text;
begin
  if not request.has_tenant_role('admin') then
    perform request.raise_error('role_insufficient', 'only an admin or owner makes webhook endpoints', 'ask an admin of your tenant');
  end if;
  perform webhook.check_url(url);
  shown := webhook.add_missing_secrets(endpoint_id, signing);
  insert into webhook.endpoints (id, url, event_types, ordering, rate, headers, projection, signing, timeout_ms, enabled, description,
    disabled_reason, disabled_at)
  values (endpoint_id, create_webhook_endpoint.url, create_webhook_endpoint.event_types, create_webhook_endpoint.ordering,
    create_webhook_endpoint.rate, webhook.keep_headers(endpoint_id, create_webhook_endpoint.headers),
    create_webhook_endpoint.projection, create_webhook_endpoint.signing, create_webhook_endpoint.timeout_ms,
    create_webhook_endpoint.enabled, create_webhook_endpoint.description,
    case when not create_webhook_endpoint.enabled then 'by_request' end, case when not create_webhook_endpoint.enabled then now() end)
  returning * into made;
  insert into webhook.endpoint_states (tenant_id, endpoint_id) values (made.tenant_id, made.id);
  -- Nobody on the way keeps the secret, the edge's Idempotency-Key included.
  set local response.headers = '[{"Cache-Control": "no-store"}]';
  return json_build_object('id', made.id, 'secret', shown, 'url', made.url, 'event_types', made.event_types, 'ordering', made.ordering,
    'rate', made.rate, 'headers', made.headers, 'projection', made.projection, 'signing', made.signing, 'timeout_ms', made.timeout_ms,
    'enabled', made.enabled, 'description', made.description, 'created_by', made.created_by, 'created_at', made.created_at);
exception
  when check_violation or not_null_violation then
    get stacked diagnostics broken = constraint_name, missing = column_name;
    perform webhook.refuse_endpoint(broken, missing);
end
$$;
comment on function v1.create_webhook_endpoint(text, text[], text, integer, jsonb, text[], text[], integer, boolean, text) is
$$Make a webhook endpoint

For admins and owners. The answer has the secret (whsec_…), this once. Where it signs with v1a, its public key (whpk_…) appears in
webhook_endpoints a moment later. What each argument means is said there.$$;
grant execute on function v1.create_webhook_endpoint(text, text[], text, integer, jsonb, text[], text[], integer, boolean, text) to tenant_user;

--@ view v1.webhook_deliveries
create view v1.webhook_deliveries with (security_invoker = true) as
  select d.tenant_id, d.endpoint_id, d.position, coalesce(d.payload ->> 'id', 'evt_' || d.position) as event_id, d.event_type, d.subject,
    case
      when d.status <> 'pending' then d.status
      when not e.enabled then 'held'
      when d.next_attempt_at = 'infinity' then 'blocked'
      when d.attempts > d.attempts_before then 'retrying'
      else 'pending'
    end as status,
    d.attempts, nullif(d.next_attempt_at, 'infinity') as next_attempt_at, d.created_at, d.attempted_at, d.dead_at, d.status_code, d.error,
    d.latency_ms, d.response
  from webhook.deliveries as d
  join webhook.endpoints as e on (e.tenant_id, e.id) = (d.tenant_id, d.endpoint_id);
comment on view v1.webhook_deliveries is $$Webhook deliveries

One for each event and endpoint, with its last attempt. For admins and owners. Settled ones are kept for 30 days.
List an endpoint's newest first: ?endpoint_id=eq.…&order=position.desc$$;
comment on column v1.webhook_deliveries.position is 'Of the event: pages are asked for by it.';
comment on column v1.webhook_deliveries.event_id is 'The webhook-id that was sent: the same in every attempt and replay.';
comment on column v1.webhook_deliveries.status is
  'pending; retrying; blocked, by an earlier one of its order; held, while the endpoint is disabled; succeeded; dead.';
comment on column v1.webhook_deliveries.error is 'Why there was no answer, where there was none: such as response_timeout, connect_failed, dns_failed '
  '(the name has no address that deliveries go to) or address_refused (the URL itself leads nowhere that they go).';
comment on column v1.webhook_deliveries.response is 'The first KiB of the answer.';
grant select on v1.webhook_deliveries to tenant_user;

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ drop view v1.webhook_deliveries
drop view v1.webhook_deliveries;

--@ drop function webhook.heard_entries(smallint[], bigint[], bigint[], integer, text[])
drop function webhook.heard_entries(smallint[], bigint[], bigint[], integer, text[]);

--@ drop function webhook.listeners()
drop function webhook.listeners();

--@ drop function webhook.check_endpoint(webhook.endpoints)
drop function webhook.check_endpoint(webhook.endpoints);

--@ drop function webhook.refuse_endpoint(text, text)
drop function webhook.refuse_endpoint(text, text);

--@ drop function ledger.claim(text, integer, smallint[])
drop function ledger.claim(text, integer, smallint[]);

--@ function ledger.claim(text, integer, integer, smallint[])
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

--@ function ledger.take(text, integer, integer)
set role rowhouse_dispatcher;
create or replace function ledger.take(consumer text, max_slots integer, max_entries integer)
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

--@ function ledger.advance(text, smallint[], bigint[])
set role rowhouse_dispatcher;
create or replace function ledger.advance(consumer text, slots smallint[], positions bigint[])
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

--@ table webhook.endpoints
-- squawk-ignore require-concurrent-index-deletion
drop index webhook.endpoints_enabled_idx;
--= create table webhook.endpoints (
--=   tenant_id tenancy.tenant_id not null,
--=   id uuid not null default uuidv7(),
--=   url text not null,
--=   event_types text[] not null default '{*}',
--=   type_patterns text[] not null generated always as (webhook.like_patterns(event_types)) stored,
--=   ordering text collate "C" not null default 'none',
--=   rate integer,
--=   headers jsonb not null default '{}',
--=   projection text[],
--=   signing text[] not null default '{v1}',
--=   timeout_ms integer not null default 15000,
--=   enabled boolean not null default true,
--=   description text not null default '',
--=   disabled_reason text collate "C",
--=   disabled_at timestamptz,
--=   revision bigint not null default 1,
--=   created_by text default request.subject(),
--=   created_at timestamptz not null default now(),
--=   updated_at timestamptz not null default now(),
--=   constraint endpoints_pkey primary key (tenant_id, id),
--=   constraint endpoints_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
--=   constraint endpoints_url_form check (
--=     url ~ '^https?://([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][!-~]*)?$' and url !~ '#' and length(url) <= 2048),
--=   constraint endpoints_event_types_form check (
--=     cardinality(event_types) between 1 and 100
--=     and array_to_string(event_types, ',', '?') ~ '^[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*(,[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*)*$'
--=     and length(array_to_string(event_types, ',', '?')) <= 10000),
--=   constraint endpoints_ordering_known check (ordering in ('none', 'endpoint', 'subject')),
--=   constraint endpoints_rate_range check (rate between 1 and 10000),
--=   constraint endpoints_headers_form check (jsonb_typeof(headers) = 'object'),
--=   constraint endpoints_projection_form check (
--=     cardinality(projection) between 0 and 100
--=     and array_to_string(projection, ',', '?') ~ '^([A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?(,[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?)*)?$'),
--=   constraint endpoints_signing_known check (signing <@ '{v1,v1a}' and cardinality(signing) between 1 and 2),
--=   constraint endpoints_timeout_range check (timeout_ms between 1000 and 30000),
--=   constraint endpoints_description_length check (length(description) <= 1000),
--=   constraint endpoints_disabled_says_why check (enabled = (disabled_reason is null) and enabled = (disabled_at is null))
--= ) partition by hash (tenant_id);
--= comment on table webhook.endpoints is $$Webhook endpoints
--=
--= Where the tenant's events are sent. For admins and owners. Make one with create_webhook_endpoint, which shows its secret once.$$;
--= comment on column webhook.endpoints.url is $$https, without credentials or a fragment. Private and local addresses are refused when it is connected to.
--= @sample "https://hooks.invalid/prove"$$;
--= comment on column webhook.endpoints.event_types is $$Types of events; * stands for any characters.
--= @sample ["app.jobs.*"]$$;
--= comment on column webhook.endpoints.ordering is
--=   'none: as soon as possible; subject: the events of one subject strictly one after the other; endpoint: all of them.';
--= comment on column webhook.endpoints.rate is 'Deliveries a second at the most; no limit of its own where null.';
--= comment on column webhook.endpoints.headers is
--=   'Sent with each delivery. Values are stored encrypted and shown as null; a null that is sent back leaves the value as it is.';
--= comment on column webhook.endpoints.projection is $$Which parts of an event's data are sent; all where null.
--= @sample ["changed", "new.status"]$$;
--= comment on column webhook.endpoints.signing is $$v1: HMAC-SHA256 with the shared secret; v1a: ed25519, verified with public_keys.
--= @sample ["v1"]$$;
--= comment on column webhook.endpoints.timeout_ms is 'How long the receiver may take for its answer.';
--= comment on column webhook.endpoints.enabled is '@sample false';
--= comment on column webhook.endpoints.disabled_at is '@sample "2999-01-01T00:00:00Z"';
--= comment on column webhook.endpoints.disabled_reason is
--=   'by_request; gone: it answered 410; failing: nothing but failures for days. Set enabled to true to send again, what was held included.';
--= select tenancy.protect('webhook.endpoints', partitions => 8, read_role => 'admin', write_role => 'admin', client_verbs => '{}');

--@ function webhook.guard_endpoint()
create or replace function webhook.guard_endpoint()
returns trigger
language plpgsql
volatile
security definer -- clients hold no grant on secrets and states
set search_path = ''
parallel unsafe
as $$
begin
  new.revision := old.revision + 1;
  if new.enabled and not old.enabled then
    new.disabled_reason := null;
    new.disabled_at := null;
    update webhook.endpoint_states
    set circuit = 'closed', opened = 0, paused_until = null, failing_since = null, failures = 0, generation = generation + 1
    where tenant_id = new.tenant_id and endpoint_id = new.id;
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
  return new;
end
$$;
comment on function webhook.guard_endpoint() is
  'What follows from a change of an endpoint: workers see its revision, the values of headers are put away encrypted, an endpoint that is '
  'enabled again starts without a past.';

--@ function webhook.dispatch(integer, integer, smallint[])
set role rowhouse_dispatcher;
create or replace function webhook.dispatch(max_slots integer, max_entries integer, among smallint[] default null)
returns table (slot smallint, "position" bigint, entries integer, more boolean, tenant_id text, endpoint_id uuid)
language plpgsql
volatile
security definer -- matches every tenant's events with that tenant's endpoints; its caller is told which endpoints got work, no more
set search_path = ''
-- Planning 16 partitions each time costs more than the work. The plan outlives the statistics that it was made with, which are
-- never those of the moment: it must not come to read whole tables because they were small.
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set jit = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  slots smallint[];
  afters bigint[];
  uptos bigint[];
  mores boolean[];
begin
  -- A statement of its own: the entries below have to be read with a later snapshot.
  select array_agg(c.slot), array_agg(c.after_position), array_agg(c.upto_position), array_agg(c.more)
  into slots, afters, uptos, mores
  from ledger.claim('webhooks', max_slots, max_entries, among) as c;
  if slots is null then
    return;
  end if;
  return query
    with events as materialized (
      select e.slot, e.tenant_id, e.position, e.type, e.subject, e.source
      from unnest(slots, afters, uptos) as claimed (slot, after_position, upto_position)
      cross join lateral (
        select e.slot, e.tenant_id, e.position, e.type, e.subject, e.source from ledger.events as e
        where e.slot = claimed.slot and e.position > claimed.after_position and e.position <= claimed.upto_position
        offset 0) as e
    ), kinds as (
      select distinct e.tenant_id, e.type, e.source from events as e
    ), matches as materialized (
      select k.tenant_id, k.type, k.source, endpoint.id, endpoint.ordering
      from kinds as k
      cross join lateral (
        select e.id, e.ordering from webhook.endpoints as e
        where e.tenant_id = k.tenant_id and e.enabled and k.type like any (e.type_patterns)
          -- An endpoint is an admin's. Not asked of each event: the answer may read policies.
          and not exists (select from ledger.sources as s where s.name = k.source and s.least_role = 'owner')
        offset 0) as endpoint
    ), added as (
      insert into webhook.deliveries as d (tenant_id, endpoint_id, position, event_type, subject, ordering_key)
      select e.tenant_id, m.id, e.position, e.type, e.subject,
        webhook.ordering_key(m.ordering, e.subject)
      from events as e
      join matches as m on m.tenant_id = e.tenant_id and m.type = e.type and m.source = e.source
      order by e.tenant_id, m.id, e.position
      on conflict do nothing -- handed over before, by a dispatcher that died before it could say so
      returning d.tenant_id, d.endpoint_id, d.position
    ), work as (
      select a.tenant_id, a.endpoint_id, min(a.position) as lowest from added as a group by a.tenant_id, a.endpoint_id
    ), lowered as (
      -- Only after such a repetition, or a rewind: an endpoint that was not there the first time.
      update webhook.endpoint_states as s set watermark = w.lowest - 1, generation = s.generation + 1
      from work as w
      where s.tenant_id = w.tenant_id and s.endpoint_id = w.endpoint_id and s.watermark >= w.lowest
    )
    select claimed.slot, claimed.upto_position, (select count(*)::integer from events as e where e.slot = claimed.slot), claimed.more,
      null::text, null::uuid
    from unnest(slots, uptos, mores) as claimed (slot, upto_position, more)
    union all
    select null, null, null, null, w.tenant_id::text, w.endpoint_id from work as w;
end
$$;
comment on function webhook.dispatch(integer, integer, smallint[]) is
  'Hands the entries of up to max_slots free slots of the ledger (among those named, if any are) over to the endpoints that want them. '
  'Returns the slots, for ledger.advance() after the commit, and whether each has more; and the endpoints that have new deliveries.';
grant execute on function webhook.dispatch(integer, integer, smallint[]) to rowhouse_worker;
set role rowhouse_owner;

--@ function v1.create_webhook_endpoint(text, text[], text, integer, jsonb, text[], text[], integer, boolean, text)
create or replace function v1.create_webhook_endpoint(
  url text, event_types text[] default '{*}', ordering text default 'none', rate integer default null, headers jsonb default '{}',
  projection text[] default null, signing text[] default '{v1}', timeout_ms integer default 15000, enabled boolean default true,
  description text default '')
returns json
language plpgsql
volatile
security definer -- clients hold no grant on secrets
set search_path = ''
parallel unsafe
as $$
declare
  made webhook.endpoints;
  endpoint_id uuid := uuidv7();
  shown text;
  broken text;
begin
  if not request.has_tenant_role('admin') then
    perform request.raise_error('role_insufficient', 'only an admin or owner makes webhook endpoints', 'ask an admin of your tenant');
  end if;
  perform webhook.check_url(url);
  shown := webhook.add_missing_secrets(endpoint_id, signing);
  insert into webhook.endpoints (id, url, event_types, ordering, rate, headers, projection, signing, timeout_ms, enabled, description,
    disabled_reason, disabled_at)
  values (endpoint_id, create_webhook_endpoint.url, create_webhook_endpoint.event_types, create_webhook_endpoint.ordering,
    create_webhook_endpoint.rate, webhook.keep_headers(endpoint_id, create_webhook_endpoint.headers),
    create_webhook_endpoint.projection, create_webhook_endpoint.signing, create_webhook_endpoint.timeout_ms,
    create_webhook_endpoint.enabled, create_webhook_endpoint.description,
    case when not create_webhook_endpoint.enabled then 'by_request' end, case when not create_webhook_endpoint.enabled then now() end)
  returning * into made;
  insert into webhook.endpoint_states (tenant_id, endpoint_id) values (made.tenant_id, made.id);
  -- Nobody on the way keeps the secret, the edge's Idempotency-Key included.
  set local response.headers = '[{"Cache-Control": "no-store"}]';
  return json_build_object('id', made.id, 'secret', shown, 'url', made.url, 'event_types', made.event_types, 'ordering', made.ordering,
    'rate', made.rate, 'headers', made.headers, 'projection', made.projection, 'signing', made.signing, 'timeout_ms', made.timeout_ms,
    'enabled', made.enabled, 'description', made.description, 'created_by', made.created_by, 'created_at', made.created_at);
exception
  when check_violation or not_null_violation then
    get stacked diagnostics broken = constraint_name;
    perform request.raise_error('webhook_endpoint_invalid', format('%s does not hold', coalesce(nullif(broken, ''), 'a required value')),
      'url: https, without credentials or fragment; event_types: 1 to 100, such as app.jobs.*; ordering: none, subject or endpoint; '
      'rate: 1 to 10000 a second; signing: v1, v1a or both; timeout_ms: 1000 to 30000');
end
$$;
comment on function v1.create_webhook_endpoint(text, text[], text, integer, jsonb, text[], text[], integer, boolean, text) is
$$Make a webhook endpoint

For admins and owners. The answer has the secret (whsec_…), this once. Where it signs with v1a, its public key (whpk_…) appears in
webhook_endpoints a moment later. What each argument means is said there.$$;
grant execute on function v1.create_webhook_endpoint(text, text[], text, integer, jsonb, text[], text[], integer, boolean, text) to tenant_user;

--@ view v1.webhook_deliveries
create view v1.webhook_deliveries with (security_invoker = true) as
  select d.tenant_id, d.endpoint_id, d.position, coalesce(d.payload ->> 'id', 'evt_' || d.position) as event_id, d.event_type, d.subject,
    case
      when d.status <> 'pending' then d.status
      when not e.enabled then 'held'
      when d.next_attempt_at = 'infinity' then 'blocked'
      when d.attempts > d.attempts_before then 'retrying'
      else 'pending'
    end as status,
    d.attempts, nullif(d.next_attempt_at, 'infinity') as next_attempt_at, d.created_at, d.attempted_at, d.dead_at, d.status_code, d.error,
    d.latency_ms, d.response
  from webhook.deliveries as d
  join webhook.endpoints as e on (e.tenant_id, e.id) = (d.tenant_id, d.endpoint_id);
comment on view v1.webhook_deliveries is $$Webhook deliveries

One for each event and endpoint, with its last attempt. For admins and owners. Settled ones are kept for 30 days.
List an endpoint's newest first: ?endpoint_id=eq.…&order=position.desc$$;
comment on column v1.webhook_deliveries.position is 'Of the event: pages are asked for by it.';
comment on column v1.webhook_deliveries.event_id is 'The webhook-id that was sent: the same in every attempt and replay.';
comment on column v1.webhook_deliveries.status is
  'pending; retrying; blocked, by an earlier one of its order; held, while the endpoint is disabled; succeeded; dead.';
comment on column v1.webhook_deliveries.error is 'Why there was no answer, where there was none: such as connect_failed or response_timeout.';
comment on column v1.webhook_deliveries.response is 'The first KiB of the answer.';
grant select on v1.webhook_deliveries to tenant_user;
