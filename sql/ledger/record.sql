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

--@ function ledger.origin()
create function ledger.origin()
returns table (subject text, role text, token_id text, address inet, user_agent text, request_id text, trace_id text)
language sql
stable
security invoker
parallel safe
begin atomic
  select request.subject(), request.role(), request.token_id(),
    case when pg_input_is_valid(sent.forwarded, 'inet') then sent.forwarded::inet end,
    sent."user-agent", sent."x-request-id", nullif(split_part(sent.traceparent, '-', 2), '')
  from (
    select *, trim(split_part(headers."x-forwarded-for", ',', -1)) as forwarded
    from json_to_record(nullif(current_setting('request.headers', true), '')::json)
      as headers ("x-forwarded-for" text, "user-agent" text, "x-request-id" text, traceparent text)
  ) as sent
  offset 0; -- the planner inlines it, and would otherwise evaluate it for each entry
end;
comment on function ledger.origin() is 'Who makes the request and from where, as entries say it. One row.';

--@ function ledger.joined_key(jsonb,text[])
create function ledger.joined_key(body jsonb, key_columns text[])
returns text
language sql
immutable
security invoker
parallel safe
return (select jsonb_agg(body -> key_column order by nth) from unnest(key_columns) with ordinality as keys (key_column, nth))::text;
comment on function ledger.joined_key(jsonb, text[]) is 'Part of ledger.row_key(): the JSON array.';

--@ function ledger.row_key(jsonb,text[])
create function ledger.row_key(body jsonb, key_columns text[])
returns text
language sql
immutable
security invoker
parallel safe
return case when cardinality(key_columns) = 1 then body ->> key_columns[1] else ledger.joined_key(body, key_columns) end;
comment on function ledger.row_key(jsonb, text[]) is
  'The value of the key column; of several, a JSON array of their values. The planner inlines it, since it has no sub-select.';

--@ function ledger.record()
create function ledger.record()
returns trigger
language plpgsql
volatile
security definer -- clients may not write the ledger themselves
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_column
<<called>>
declare
  source text := format('%I.%I', tg_table_schema, tg_table_name);
  -- Written `called.…` beside the table's own columns, which may have any name.
  tenant_column text := tg_argv[0];
  key_columns text[] := tg_argv[1]::text[];
  -- Null: what the name means in a table that has no such column. The column itself is cheaper to read than the row as JSON.
  tenant_id tenancy.tenant_id;
begin
  -- Before a position is drawn, see ledger.announce().
  if tg_op = 'INSERT' then
    perform ledger.announce(slot) from (
      select distinct ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> called.tenant_column)) from new_rows as r) as slots (slot);
  elsif tg_op = 'DELETE' then
    perform ledger.announce(slot) from (
      select distinct ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> called.tenant_column)) from old_rows as r) as slots (slot);
  else
    perform ledger.announce(slot) from (
      select ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> called.tenant_column)) from old_rows as r union
      select ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> called.tenant_column)) from new_rows as r) as slots (slot);
  end if;
  if not found then
    return null;
  elsif ledger.has_sleeper() then
    notify ledger_wake;
  end if;

  -- `offset 0`: each row becomes JSON once.
  if tg_op = 'INSERT' then
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, new,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select n.tenant_id, ledger.slot(n.tenant_id), source, 'insert', ledger.row_key(n.body, key_columns), n.body, origin.*
    from ledger.origin() as origin
    cross join (
      select coalesce(tenant_id, (to_jsonb(r.*) ->> called.tenant_column)::tenancy.tenant_id), to_jsonb(r.*) from new_rows as r offset 0
    ) as n (tenant_id, body);
  elsif tg_op = 'DELETE' then
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, old,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select o.tenant_id, ledger.slot(o.tenant_id), source, 'delete', ledger.row_key(o.body, key_columns), o.body, origin.*
    from ledger.origin() as origin
    cross join (
      select coalesce(tenant_id, (to_jsonb(r.*) ->> called.tenant_column)::tenancy.tenant_id), to_jsonb(r.*) from old_rows as r offset 0
    ) as o (tenant_id, body);
  else
    -- A row whose key changed has no partner: it is one row deleted and another inserted.
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, changed, old, new,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select changes.tenant_id, ledger.slot(changes.tenant_id), source,
      case when before is null then 'insert' when after is null then 'delete' else 'update' end, row_id,
      case when before is not null and after is not null then
        array(select key from jsonb_each(after) where value is distinct from before -> key) end,
      before, after, origin.*
    from ledger.origin() as origin
    cross join (
      (select o.tenant_id, ledger.row_key(o.body, called.key_columns), o.body from (
        select coalesce(tenant_id, (to_jsonb(r.*) ->> called.tenant_column)::tenancy.tenant_id), to_jsonb(r.*) from old_rows as r offset 0
      ) as o (tenant_id, body)) as o (tenant_id, row_id, before)
      full join
      (select n.tenant_id, ledger.row_key(n.body, called.key_columns), n.body from (
        select coalesce(tenant_id, (to_jsonb(r.*) ->> called.tenant_column)::tenancy.tenant_id), to_jsonb(r.*) from new_rows as r offset 0
      ) as n (tenant_id, body)) as n (tenant_id, row_id, after)
      using (tenant_id, row_id)
    ) as changes;
  end if;
  return null;
end
$$;
comment on function ledger.record() is
  'Statement trigger over transition tables: one insert for each statement, one entry for each row. Arguments: the tenant column, '
  'and the other primary key columns as an array.';

--@ function ledger.follow(regclass)
create function ledger.follow(target regclass)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  key_columns text[] := (
    select array_agg(attname::text order by nth)
    from pg_catalog.pg_constraint
    cross join unnest(conkey) with ordinality as keys (attnum, nth)
    join pg_catalog.pg_attribute using (attnum)
    where conrelid = target and contype = 'p' and attrelid = target and attname <> 'tenant_id');
  arguments text := format('''tenant_id'', %L', coalesce(key_columns, '{tenant_id}'));
begin
  execute format('create trigger ledger_insert after insert on %s referencing new table as new_rows '
    'for each statement execute function ledger.record(%s)', target, arguments);
  execute format('create trigger ledger_update after update on %s referencing old table as old_rows new table as new_rows '
    'for each statement execute function ledger.record(%s)', target, arguments);
  execute format('create trigger ledger_delete after delete on %s referencing old table as old_rows '
    'for each statement execute function ledger.record(%s)', target, arguments);
end
$$;
comment on function ledger.follow(regclass) is 'Part of protect(): records every change of a table in the ledger.';

--@ trigger ledger_insert on tenancy.tenants
create trigger ledger_insert after insert on tenancy.tenants referencing new table as new_rows
  for each statement execute function ledger.record('id', '{id}');

--@ trigger ledger_update on tenancy.tenants
create trigger ledger_update after update on tenancy.tenants referencing old table as old_rows new table as new_rows
  for each statement execute function ledger.record('id', '{id}');

--@ trigger ledger_delete on tenancy.tenants
create trigger ledger_delete after delete on tenancy.tenants referencing old table as old_rows
  for each statement execute function ledger.record('id', '{id}');
