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
declare
  -- Null: what the name means in a table that has no such column. The column itself is cheaper to read than the row as JSON.
  tenant_id tenancy.tenant_id;
  has_sleeper boolean; -- null: no row, nothing to write
  many boolean;
  several boolean;
begin
  -- Before a position is drawn, see ledger.announce(). Written `record.…` beside the table's own columns, which may have any name.
  if tg_op = 'INSERT' then
    -- In one statement, and nearly always for one slot: each expression more costs an insert of one row a hundredth of what the ledger does.
    select case when ledger.announce(ledger.slot(first.tenant_id)) is not null then ledger.has_sleeper() end,
      exists (select from new_rows as r offset 1),
      exists (select from new_rows as r where coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0]) <> first.tenant_id)
    into has_sleeper, many, several
    from (select coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0]) from new_rows as r limit 1) as first (tenant_id);
    if several then
      perform ledger.announce(slot) from (
        select distinct ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0])) from new_rows as r) as slots (slot);
      has_sleeper := ledger.has_sleeper();
    end if;
  else
    if tg_op = 'DELETE' then
      perform ledger.announce(slot) from (
        select distinct ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0])) from old_rows as r) as slots (slot);
    else
      perform ledger.announce(slot) from (
        select ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0])) from old_rows as r union
        select ledger.slot(coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0])) from new_rows as r) as slots (slot);
    end if;
    if found then
      has_sleeper := ledger.has_sleeper();
    end if;
  end if;
  if has_sleeper then
    notify ledger_wake;
  elsif has_sleeper is null then
    return null;
  end if;

  -- What is the same for all entries is found out in the statement: PL/pgSQL would prepare an expression of its own anew in each transaction.
  -- `offset 0`: once, not for each entry; and each row becomes JSON once.
  if many then
    -- Of many, one leads; and all those of other tenants, which hardly ever are in one statement.
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, new, leads,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select n.tenant_id, ledger.slot(n.tenant_id), called.source, 'insert', ledger.row_key(n.body, called.key_columns), n.body,
      n.tenant_id <> first.tenant_id or n.body = first.body, origin.*
    from (select format('%I.%I', tg_table_schema, tg_table_name) as source, tg_argv[1]::text[] as key_columns offset 0) as called
    cross join ledger.origin() as origin
    cross join (
      select coalesce(tenant_id, to_jsonb(r.*) ->> record.tg_argv[0]), to_jsonb(r.*) from new_rows as r limit 1
    ) as first (tenant_id, body)
    cross join (
      select coalesce(tenant_id, (to_jsonb(r.*) ->> record.tg_argv[0])::tenancy.tenant_id), to_jsonb(r.*) from new_rows as r offset 0
    ) as n (tenant_id, body);
  elsif tg_op = 'INSERT' then
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, new,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select n.tenant_id, ledger.slot(n.tenant_id), format('%I.%I', tg_table_schema, tg_table_name), 'insert',
      ledger.row_key(n.body, n.key_columns), n.body, origin.*
    from ledger.origin() as origin
    cross join (
      select coalesce(tenant_id, (to_jsonb(r.*) ->> record.tg_argv[0])::tenancy.tenant_id), to_jsonb(r.*), record.tg_argv[1]::text[]
      from new_rows as r offset 0
    ) as n (tenant_id, body, key_columns);
  elsif tg_op = 'DELETE' then
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, old,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select o.tenant_id, ledger.slot(o.tenant_id), called.source, 'delete', ledger.row_key(o.body, called.key_columns), o.body, origin.*
    from (select format('%I.%I', tg_table_schema, tg_table_name) as source, tg_argv[1]::text[] as key_columns offset 0) as called
    cross join ledger.origin() as origin
    cross join (
      select coalesce(tenant_id, (to_jsonb(r.*) ->> record.tg_argv[0])::tenancy.tenant_id), to_jsonb(r.*) from old_rows as r offset 0
    ) as o (tenant_id, body);
  else
    -- A row whose key changed has no partner: it is one row deleted and another inserted.
    insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, changed, old, new,
      subject, role, token_id, address, user_agent, request_id, trace_id)
    select changes.tenant_id, ledger.slot(changes.tenant_id), called.source,
      case when before is null then 'insert' when after is null then 'delete' else 'update' end, row_id,
      case when before is not null and after is not null then
        array(select key from jsonb_each(after) where value is distinct from before -> key) end,
      before, after, origin.*
    from (select format('%I.%I', tg_table_schema, tg_table_name) as source offset 0) as called
    cross join ledger.origin() as origin
    cross join (
      (select o.tenant_id, ledger.row_key(o.body, called.key_columns), o.body
       from (select tg_argv[1]::text[] as key_columns offset 0) as called
       cross join (
         select coalesce(tenant_id, (to_jsonb(r.*) ->> record.tg_argv[0])::tenancy.tenant_id), to_jsonb(r.*) from old_rows as r offset 0
       ) as o (tenant_id, body)) as o (tenant_id, row_id, before)
      full join
      (select n.tenant_id, ledger.row_key(n.body, called.key_columns), n.body
       from (select tg_argv[1]::text[] as key_columns offset 0) as called
       cross join (
         select coalesce(tenant_id, (to_jsonb(r.*) ->> record.tg_argv[0])::tenancy.tenant_id), to_jsonb(r.*) from new_rows as r offset 0
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
