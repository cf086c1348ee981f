-- migrate:up
set local lock_timeout = '3s';
set local search_path = '';

--@ table ledger.entries
-- One sequence for all tenants of this server: a tenant's order is its own positions, and a tenant that moves to another
-- server takes its positions along.
create sequence ledger.positions as bigint cache 1;

create function ledger.slot(tenant_id text)
returns smallint
language sql
immutable
security invoker
parallel safe
return (pg_catalog.hashtextextended(tenant_id, 0) & 15)::smallint;
comment on function ledger.slot(text) is 'Which of the 16 dispatch slots a tenant''s entries go through.';

create table ledger.entries (
  tenant_id tenancy.tenant_id not null,
  position bigint not null default nextval('ledger.positions'),
  slot smallint not null generated always as (ledger.slot(tenant_id)) stored,
  transaction_id xid8 not null default pg_current_xact_id(),
  occurred_at timestamptz not null default clock_timestamp(),
  table_name text collate "C" not null,
  operation text collate "C" not null,
  row_id text not null,
  changed text[],
  old jsonb,
  new jsonb,
  subject text,
  role text collate "C",
  token_id text collate "C",
  address inet,
  user_agent text,
  request_id text,
  trace_id text collate "C",
  constraint entries_pkey primary key (tenant_id, position),
  constraint entries_operation_known check (operation in ('insert', 'update', 'delete'))
) partition by hash (tenant_id);
create index entries_row_idx on ledger.entries (tenant_id, table_name, row_id, position);
comment on table ledger.entries is 'Every change of tenant data: who, what, when, where, before and after. Append-only for everyone.';
comment on column ledger.entries.position is 'Order within the tenant: drawn while the changed rows were locked.';
comment on column ledger.entries.row_id is 'The primary key without the tenant; a JSON array where it has several columns.';
comment on column ledger.entries.address is 'From X-Forwarded-For: what the edge saw, or what a client that went past it claims.';
select tenancy.protect('ledger.entries', partitions => 16, ledger => false);

-- The one index that does not lead with the tenant: the dispatcher reads a slot's tenants together, in order.
create index entries_dispatch_idx on ledger.entries (slot, position);

--@ policy "The ledger's functions append" on ledger.entries
create policy "The ledger's functions append" on ledger.entries
  for insert to rowhouse_owner with check (true);

-- Append-only for the owner, too, who could otherwise truncate it.
revoke update, delete, truncate on ledger.entries from rowhouse_owner;
grant select on ledger.entries, ledger.positions to rowhouse_dispatcher;

--@ policy "The dispatcher reads every tenant" on ledger.entries
create policy "The dispatcher reads every tenant" on ledger.entries
  for select to rowhouse_dispatcher using (true);

--@ table ledger.consumers
create table ledger.consumers (
  consumer text collate "C" not null,
  tables text[] not null,
  constraint consumers_pkey primary key (consumer)
);
comment on table ledger.consumers is 'Who follows the ledger, and the tables whose entries it is given.';
grant select on ledger.consumers to rowhouse_dispatcher;

--@ table ledger.cursors
create table ledger.cursors (
  consumer text collate "C" not null,
  slot smallint not null,
  position bigint not null default 0,
  updated_at timestamptz not null default now(),
  constraint cursors_pkey primary key (consumer, slot),
  constraint cursors_consumer_fkey foreign key (consumer) references ledger.consumers (consumer) on delete cascade,
  constraint cursors_slot_range check (slot between 0 and 15),
  constraint cursors_position_not_negative check (position >= 0)
) with (fillfactor = 50); -- every advance is a HOT update
comment on table ledger.cursors is 'How far each consumer has followed the ledger, slot by slot. Consumers share work by locking rows.';
grant select, update on ledger.cursors to rowhouse_dispatcher;

--@ data ledger.cursors
insert into ledger.consumers (consumer, tables) values ('jobs', '{app.jobs,app.files}');
insert into ledger.cursors (consumer, slot) select 'jobs', generate_series(0, 15);
-- From here on last_value is a position that was drawn, which the dispatcher's arithmetic relies on.
select nextval('ledger.positions');

--@ function ledger.announce(text[])
create function ledger.announce(tenant_ids text[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  drawn bigint := (select last_value from ledger.positions);
  writer_slot smallint;
begin
  -- A writer holds, until its transaction ends, a shared lock that says: I may still add entries above this position. It is
  -- taken before a position is drawn. The dispatcher stays below the lowest one (ledger.take), so an entry that commits
  -- late is neither passed by nor overtaken. Positions are rounded down to 32, so that a long transaction holds few locks.
  for writer_slot in select distinct ledger.slot(tenant_id) from unnest(tenant_ids) as tenant_id order by 1 loop
    perform pg_advisory_xact_lock_shared(ledger.writer_key(writer_slot, drawn / 32));
  end loop;
  -- NOTIFY in every transaction would serialise commits (0.72 of the write throughput). A follower that sleeps holds
  -- this lock; only then is it woken.
  if pg_try_advisory_lock(ledger.sleeper_key()) then
    perform pg_advisory_unlock(ledger.sleeper_key());
  else
    notify ledger_wake;
  end if;
end
$$;
comment on function ledger.announce(text[]) is 'Called before entries of these tenants are written: holds the dispatchers back, and wakes them if they sleep.';

--@ function ledger.writer_key(smallint, bigint)
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

--@ function ledger.record()
create function ledger.record()
returns trigger
language plpgsql
volatile
security definer -- clients may not write the ledger themselves
set search_path = ''
parallel unsafe
as $$
declare
  tenant_column text := tg_argv[0];
  key_columns text[] := tg_argv[1]::text[];
  source text := format('%I.%I', tg_table_schema, tg_table_name);
  headers json := nullif(current_setting('request.headers', true), '')::json;
  forwarded text := trim(split_part(headers ->> 'x-forwarded-for', ',', -1));
  changes jsonb[];
begin
  if tg_op = 'INSERT' then
    select array_agg(jsonb_build_array(null, to_jsonb(n))) into changes from new_rows n;
  elsif tg_op = 'DELETE' then
    select array_agg(jsonb_build_array(to_jsonb(o), null)) into changes from old_rows o;
  else
    -- A row whose key changed has no partner: it is one row deleted and another inserted.
    select array_agg(jsonb_build_array(o.body, n.body)) into changes
    from (select to_jsonb(old_rows) as body from old_rows) o
    full join (select to_jsonb(new_rows) as body from new_rows) n
      on ledger.row_key(o.body, tenant_column || key_columns) = ledger.row_key(n.body, tenant_column || key_columns);
  end if;
  if changes is null then
    return null;
  end if;
  perform ledger.announce(array(
    select distinct coalesce(nullif(change -> 1, 'null'), change -> 0) ->> tenant_column from unnest(changes) as change));

  insert into ledger.entries (tenant_id, table_name, operation, row_id, changed, old, new,
    subject, role, token_id, address, user_agent, request_id, trace_id)
  select coalesce(after, before) ->> tenant_column, source,
    case when before is null then 'insert' when after is null then 'delete' else 'update' end,
    ledger.row_key(coalesce(after, before), key_columns),
    case when before is not null and after is not null then
      array(select key from jsonb_each(after) where value is distinct from before -> key) end,
    before, after, request.subject(), request.role(), request.token_id(),
    case when pg_input_is_valid(forwarded, 'inet') then forwarded::inet end,
    headers ->> 'user-agent', headers ->> 'x-request-id', nullif(split_part(headers ->> 'traceparent', '-', 2), '')
  from unnest(changes) as change
  cross join lateral (select nullif(change -> 0, 'null') as before, nullif(change -> 1, 'null') as after) as row_states;
  return null;
end
$$;
comment on function ledger.record() is
  'Statement trigger over transition tables: one insert for each statement, one entry for each row. Arguments: the tenant column, '
  'and the other primary key columns as an array.';

--@ function ledger.row_key(jsonb, text[])
create function ledger.row_key(body jsonb, key_columns text[])
returns text
language sql
immutable
security invoker
parallel safe
return case
  when cardinality(key_columns) = 1 then body ->> key_columns[1]
  else (select jsonb_agg(body -> key_column order by nth) from unnest(key_columns) with ordinality as keys (key_column, nth))::text
end;
comment on function ledger.row_key(jsonb, text[]) is 'The value of the key column; of several, a JSON array of their values.';

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

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ drop trigger ledger_delete on tenancy.tenants
drop trigger ledger_delete on tenancy.tenants;

--@ drop trigger ledger_update on tenancy.tenants
drop trigger ledger_update on tenancy.tenants;

--@ drop trigger ledger_insert on tenancy.tenants
drop trigger ledger_insert on tenancy.tenants;

--@ drop function ledger.follow(regclass)
drop function ledger.follow(regclass);

--@ drop function ledger.row_key(jsonb, text[])
drop function ledger.row_key(jsonb, text[]);

--@ drop function ledger.record()
drop function ledger.record();

--@ drop function ledger.sleeper_key()
drop function ledger.sleeper_key();

--@ drop function ledger.writer_key(smallint, bigint)
drop function ledger.writer_key(smallint, bigint);

--@ drop function ledger.announce(text[])
drop function ledger.announce(text[]);

--@ drop data ledger.cursors
-- The rows go with their table.

--@ drop table ledger.cursors
drop table ledger.cursors;

--@ drop table ledger.consumers
drop table ledger.consumers;

--@ drop policy "The dispatcher reads every tenant" on ledger.entries
-- ACCESS EXCLUSIVE on ledger.entries until commit.
drop policy "The dispatcher reads every tenant" on ledger.entries;

--@ drop policy "The ledger's functions append" on ledger.entries
-- ACCESS EXCLUSIVE on ledger.entries until commit.
drop policy "The ledger's functions append" on ledger.entries;

--@ drop table ledger.entries
drop table ledger.entries;
drop function ledger.slot;
drop sequence ledger.positions;
