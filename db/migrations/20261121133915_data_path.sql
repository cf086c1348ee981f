-- migrate:up
-- What goes down takes its columns along.
-- squawk-ignore-file ban-drop-column, require-concurrent-index-creation, require-concurrent-index-deletion, adding-field-with-default, ban-alter-domain-with-add-constraint
set local lock_timeout = '3s';
set local search_path = '';

-- In the order of those who write: the table, then the ledger. Nobody reads or writes meanwhile, and nothing here looks at rows: what does has
-- a migration of its own, after this one.
do $$
declare
  protected regclass;
begin
  for protected in
    select polrelid::regclass from pg_catalog.pg_policy
    where polname = 'A writer adds rows to their tenant' order by polrelid = 'ledger.entries'::regclass, 1
  loop
    execute format('lock table %s in access exclusive mode', protected);
  end loop;
end
$$;

--@ drop policy "Only an admin sees uses of keys" on auth.api_key_uses
-- ACCESS EXCLUSIVE on auth.api_key_uses until commit.
drop policy "Only an admin sees uses of keys" on auth.api_key_uses;

--@ drop policy "Only an admin sees keys" on auth.api_keys
-- ACCESS EXCLUSIVE on auth.api_keys until commit.
drop policy "Only an admin sees keys" on auth.api_keys;

--@ drop policy "Only an owner removes an owner" on tenancy.members
-- ACCESS EXCLUSIVE on tenancy.members until commit.
drop policy "Only an owner removes an owner" on tenancy.members;

--@ drop policy "Only an owner changes an owner" on tenancy.members
-- ACCESS EXCLUSIVE on tenancy.members until commit.
drop policy "Only an owner changes an owner" on tenancy.members;

--@ drop policy "Only an owner adds an owner" on tenancy.members
-- ACCESS EXCLUSIVE on tenancy.members until commit.
drop policy "Only an owner adds an owner" on tenancy.members;

--@ drop function ledger.announce(text[])
drop function ledger.announce(text[]);

--@ drop function tenancy.protect(regclass, integer, boolean, boolean, text, text[], text[])
drop function tenancy.protect(regclass, integer, boolean, boolean, text, text[], text[]);

--@ drop function tenancy.add_policies(regclass, text)
drop function tenancy.add_policies(regclass, text);

--@ run the tenant domain's form, for new values
-- Both hold until the next migrations have looked at the rows that are there.
alter domain tenancy.tenant_id add constraint tenant_id_form_changed check (octet_length(value) <= 49 and value ~ '^t_[a-z0-9][a-z0-9_]*$') not valid;

--@ function tenancy.pin_statistics(regclass)
create function tenancy.pin_statistics(target regclass)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  relation record;
begin
  for relation in
    select oid::regclass as name, relname::text as table_name, relkind = 'p' as is_parent,
      (select nspname::text from pg_catalog.pg_namespace where pg_namespace.oid = relnamespace) as schema_name
    from pg_catalog.pg_class
    where oid = target or oid in (select inhrelid from pg_catalog.pg_inherits where inhparent = target)
    order by oid
  loop
    execute format('alter table only %s alter column tenant_id set statistics 0', relation.name);
    -- What ANALYZE left before; it does not write over what comes now.
    perform pg_catalog.pg_clear_attribute_stats(relation.schema_name, relation.table_name, 'tenant_id', relation.is_parent);
    -- A tenant has a quarter of its partition, and its rows lie together: few enough that an index is always better than all rows, and so
    -- many that a key or an order is never worth less than the tenant alone. A small tenant is fast on the plan of a large one.
    perform pg_catalog.pg_restore_attribute_stats('schemaname', relation.schema_name, 'relname', relation.table_name,
      'attname', 'tenant_id', 'inherited', relation.is_parent,
      'null_frac', 0::real, 'avg_width', 16, 'n_distinct', 4::real, 'correlation', 1::real);
  end loop;
end
$$;
comment on function tenancy.pin_statistics(regclass) is
  'Part of protect(): the planner expects the same of every tenant. It would look the sealed one up in the statistics when a generic plan '
  'is made, and all others would run on a plan for the size of whoever came first.';

--@ function tenancy.printed_condition(regclass, text)
create function tenancy.printed_condition(target regclass, condition text)
returns text
language plpgsql
volatile
strict
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  printed text := format('select true as holds from %s where (%s)', target, condition);
begin
  -- Twice: PostgreSQL prints some forms otherwise than it reads them (`in` of a varchar), and what was dumped and restored has been
  -- through it once more. From there on it prints what it reads.
  for times in 1 .. 2 loop
    execute 'create view pg_temp.condition_of_a_policy as ' || printed;
    printed := pg_catalog.pg_get_viewdef(to_regclass('pg_temp.condition_of_a_policy'));
    drop view pg_temp.condition_of_a_policy;
  end loop;
  return printed;
end
$$;
comment on function tenancy.printed_condition(regclass, text) is
  'A condition on a table''s rows as PostgreSQL prints it: two are the same if and only if they were read as the same. By way of a temporary '
  'view, since a policy would lock the table.';

--@ function tenancy.add_policy(regclass, text, text, text, text)
create or replace function tenancy.add_policy(target regclass, policy_name text, verb text, roles text, condition text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  reads boolean := verb <> 'insert';
  writes boolean := verb not in ('select', 'delete');
  wanted text;
  present record;
begin
  select polcmd, polpermissive, pg_catalog.pg_get_expr(polqual, polrelid) as qual, pg_catalog.pg_get_expr(polwithcheck, polrelid) as with_check,
    array(select unnest(polroles)::regrole::text order by 1) as holders
  into present
  from pg_catalog.pg_policy where polrelid = target and polname = policy_name;
  if not found then
    execute format('create policy %I on %s for %s to %s', policy_name, target, verb, roles)
      || case when reads then format(' using (%s)', condition) else '' end
      || case when writes then format(' with check (%s)', condition) else '' end;
    return;
  end if;
  -- Never re-created, since that takes ACCESS EXCLUSIVE; but never left saying something else than was asked for, either.
  wanted := tenancy.printed_condition(target, condition);
  if not present.polpermissive or present.holders <> array(select unnest(string_to_array(roles, ', ')) order by 1)
     or (present.polcmd <> case verb when 'select' then 'r' when 'insert' then 'a' when 'update' then 'w' when 'delete' then 'd' else '*' end) then
    perform tenancy.refuse(target, format('policy "%s" is there for other verbs or roles', policy_name),
      format('drop policy %I on %s; then protect it again', policy_name, target));
  elsif (present.qual is not null) <> reads or (present.with_check is not null) <> writes
     or tenancy.printed_condition(target, present.qual) <> wanted or tenancy.printed_condition(target, present.with_check) <> wanted then
    perform tenancy.refuse(target, format('policy "%s" is there with another condition', policy_name),
      format('drop policy %I on %s; then protect it again', policy_name, target));
  end if;
end
$$;
comment on function tenancy.add_policy(regclass, text, text, text, text) is
  'Part of protect(): adds one policy where it is missing, and refuses one of the same name that says something else.';

--@ drop function tenancy.plain_expression(text)
drop function tenancy.plain_expression(text);

--@ function tenancy.add_policies(regclass, text, text, text)
create function tenancy.add_policies(target regclass, read_role text, write_role text, write_condition text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  -- Twice the same test. The second finds the index and prunes partitions when the statement starts. The first is there because
  -- PostgreSQL runs a leakproof condition of the caller (name = …) before a policy that costs more, and a condition that raises
  -- an error for a match then tells what other tenants store. `= any (array[…])` costs half an operator, so no comparison is
  -- cheaper, and it forms no equivalence class, so it stays in front (order_qual_clauses in PostgreSQL's createplan.c). The array
  -- holds the column, not the tenant: a condition that prunes once more while running makes PostgreSQL 18.4 lose an update
  -- that had to wait for another (test/sql/policies.test.ts).
  own_tenant constant text := '(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()';
  -- In a sub-select, it is evaluated once.
  may_read constant text := own_tenant || format(' and (select request.has_tenant_role(%L))', read_role);
  -- A restrictive policy would come before these, and keep the tenant from being searched for in an index.
  as_writer constant text := format(' and (select request.has_tenant_role(%L))', write_role) || coalesce(' and (' || write_condition || ')', '');
  may_write constant text := own_tenant || as_writer;
  -- No condition of the caller sees a new row before this does, and nothing is pruned by it.
  may_add constant text := 'tenant_id = (select request.tenant_id())' || as_writer;
begin
  perform tenancy.add_policy(target, 'A member reads the rows of their tenant', 'select', 'tenant_user', may_read);
  perform tenancy.add_policy(target, 'A writer adds rows to their tenant', 'insert', 'tenant_user', may_add);
  perform tenancy.add_policy(target, 'A writer changes rows of their tenant', 'update', 'tenant_user', may_write);
  perform tenancy.add_policy(target, 'A writer deletes rows of their tenant', 'delete', 'tenant_user', may_write);
  perform tenancy.add_policy(target, 'A service works within its sealed tenant', 'all', 'rowhouse_worker, rowhouse_edge', own_tenant);
end
$$;
comment on function tenancy.add_policies(regclass, text, text, text) is 'Part of protect(): one policy for each verb and kind of role.';

--@ function tenancy.protect(regclass, integer, boolean, boolean, text, text[], text[], text, text)
create function tenancy.protect(
  target regclass,
  partitions integer default 32,
  expose boolean default false,
  ledger boolean default true,
  write_role text default 'member',
  client_verbs text[] default '{insert,update,delete}',
  server_columns text[] default '{}',
  read_role text default 'viewer',
  write_condition text default null)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  if tenancy.role_rank(read_role) is null then
    perform tenancy.refuse(target, format('read_role %L is no role of a tenant', read_role), 'viewer, member, admin or owner');
  elsif tenancy.role_rank(write_role) is null then
    perform tenancy.refuse(target, format('write_role %L is no role of a tenant', write_role), 'viewer, member, admin or owner');
  elsif tenancy.role_rank(write_role) < tenancy.role_rank(read_role) then
    perform tenancy.refuse(target, format('%s may write and only %s may read', write_role, read_role),
      'who changes a row has to find it: make read_role no higher than write_role');
  elsif not client_verbs <@ '{insert,update,delete}'::text[] then
    perform tenancy.refuse(target, format('client_verbs %s has more than insert, update and delete', client_verbs),
      'every exposed table is read; name what clients may do besides');
  end if;
  perform tenancy.check_tenant_column(target);
  perform tenancy.check_keys(target);
  if not (select relforcerowsecurity from pg_catalog.pg_class where oid = target) then
    perform tenancy.check_rows(target);
    execute format('alter table %s enable row level security, force row level security', target);
  end if;
  perform tenancy.add_partitions(target, partitions);
  perform tenancy.pin_statistics(target);
  perform tenancy.add_policies(target, read_role, write_role, write_condition);
  if not exists (
    select from pg_catalog.pg_attrdef join pg_catalog.pg_attribute on attrelid = adrelid and attnum = adnum
    where adrelid = target and attname = 'tenant_id' and pg_catalog.pg_get_expr(adbin, adrelid) ~ '^\(?request\.tenant_id\(\)') then
    execute format('alter table %s alter column tenant_id set default request.tenant_id()', target);
  end if;
  if exists (select from pg_catalog.pg_attribute where attrelid = target and attname = 'updated_at' and not attisdropped)
     and not exists (select from pg_catalog.pg_trigger where tgrelid = target and tgname = 'touch') then
    execute format('create trigger touch before update on %s for each row execute function tenancy.touch()', target);
  end if;
  if ledger and not exists (select from pg_catalog.pg_trigger where tgrelid = target and tgname = 'ledger_delete') then
    perform ledger.follow(target);
  end if;
  if expose then
    perform tenancy.expose(target, client_verbs, server_columns);
  end if;
end
$$;
comment on function tenancy.protect(regclass, integer, boolean, boolean, text, text[], text[], text, text) is
  'Puts a table behind the wall: partitions, forced row-level security, policies, ledger, and if asked its v1 view. '
  'target: a table created with `partition by hash (tenant_id)`; read_role, write_role: the least tenant roles that read and write; '
  'write_condition: what holds of every row that a member adds, changes (before and after) or deletes; client_verbs: what '
  'clients may do through v1 besides reading; server_columns: columns that they never set (created_at and updated_at never). '
  'Safe to repeat. Raises 42P16, saying what to change.';

--@ table ledger.entries
alter table ledger.entries alter column slot drop expression;
alter table ledger.entries add constraint entries_slot_of_tenant check (slot = (hashtextextended(tenant_id, 0) & 15)) not valid;
comment on column ledger.entries.slot is 'ledger.slot(tenant_id).';
drop index ledger.entries_row_idx;
--= -- One sequence for all tenants of this server: a tenant's order is its own positions, and a tenant that moves to another
--= -- server takes its positions along.
--= create sequence ledger.positions as bigint cache 1;
--=
--= create function ledger.slot(tenant_id text)
--= returns smallint
--= language sql
--= immutable
--= security invoker
--= parallel safe
--= return (pg_catalog.hashtextextended(tenant_id, 0) & 15)::smallint;
--= comment on function ledger.slot(text) is 'Which of the 16 dispatch slots a tenant''s entries go through.';
--=
--= create table ledger.entries (
--=   tenant_id tenancy.tenant_id not null,
--=   position bigint not null default nextval('ledger.positions'),
--=   slot smallint not null,
--=   transaction_id xid8 not null default pg_current_xact_id(),
--=   occurred_at timestamptz not null default clock_timestamp(),
--=   table_name text collate "C" not null,
--=   operation text collate "C" not null,
--=   row_id text not null,
--=   changed text[],
--=   old jsonb,
--=   new jsonb,
--=   subject text,
--=   role text collate "C",
--=   token_id text collate "C",
--=   address inet,
--=   user_agent text,
--=   request_id text,
--=   trace_id text collate "C",
--=   constraint entries_pkey primary key (tenant_id, position),
--=   constraint entries_operation_known check (operation in ('insert', 'update', 'delete')),
--=   -- ledger.slot(), written out: a function would be prepared anew in each statement, 11 µs, this takes 3.
--=   constraint entries_slot_of_tenant check (slot = (hashtextextended(tenant_id, 0) & 15))
--= ) partition by hash (tenant_id);
--= comment on table ledger.entries is 'Every change of tenant data: who, what, when, where, before and after. Append-only for everyone.';
--= comment on column ledger.entries.position is 'Order within the tenant: drawn while the changed rows were locked.';
--= -- Not generated: PostgreSQL would prepare the expression anew in each statement, 23 µs, a third of what the ledger costs an insert.
--= comment on column ledger.entries.slot is 'ledger.slot(tenant_id).';
--= comment on column ledger.entries.row_id is 'The primary key without the tenant; a JSON array where it has several columns.';
--= comment on column ledger.entries.address is 'From X-Forwarded-For: what the edge saw, or what a client that went past it claims.';
--= select tenancy.protect('ledger.entries', partitions => 16, ledger => false);
--=
--= -- This index does not lead with the tenant: the dispatcher reads a slot's tenants together, in order.
--= create index entries_dispatch_idx on ledger.entries (slot, position);
--=
--= -- Nor does this one: what transactions have committed since a snapshot, of whichever tenant (ledger.changes_after).
--= create index entries_follow_idx on ledger.entries (transaction_id);

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

--@ function ledger.joined_key(jsonb, text[])
create function ledger.joined_key(body jsonb, key_columns text[])
returns text
language sql
immutable
security invoker
parallel safe
return (select jsonb_agg(body -> key_column order by nth) from unnest(key_columns) with ordinality as keys (key_column, nth))::text;
comment on function ledger.joined_key(jsonb, text[]) is 'Part of ledger.row_key(): the JSON array.';

--@ function ledger.row_key(jsonb, text[])
create or replace function ledger.row_key(body jsonb, key_columns text[])
returns text
language sql
immutable
security invoker
parallel safe
return case when cardinality(key_columns) = 1 then body ->> key_columns[1] else ledger.joined_key(body, key_columns) end;
comment on function ledger.row_key(jsonb, text[]) is
  'The value of the key column; of several, a JSON array of their values. The planner inlines it, since it has no sub-select.';

--@ function ledger.record()
create or replace function ledger.record()
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

--@ run the policies of what protect() has made
do $$
declare
  protected record;
begin
  -- Every table that protect() has made so far, those that were added here included. A policy that says anything else than protect() made it
  -- say keeps what it says.
  for protected in
    select name, writer
    from pg_catalog.pg_policy
    cross join lateral (select polrelid::regclass as name, pg_catalog.pg_get_expr(polwithcheck, polrelid) as present) as read
    cross join lateral (select substring(present from $r$has_tenant_role\('(\w+)'$r$) as writer) as asked
    where polname = 'A writer adds rows to their tenant'
      and tenancy.printed_condition(name, present) = tenancy.printed_condition(name, format(
        $r$(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('%s'))$r$, writer))
    order by 1
  loop
    execute format('alter policy "A writer adds rows to their tenant" on %s with check (tenant_id = (select request.tenant_id()) '
      'and (select request.has_tenant_role(%L)))', protected.name, protected.writer);
  end loop;
end
$$;

--@ table tenancy.members
do $$
declare
  owners constant text := $c$ and (role <> 'owner' or (select request.has_tenant_role('owner')))$c$;
  policy record;
begin
  -- Added to what they say: they may have been narrowed here.
  for policy in
    select polname, pg_catalog.pg_get_expr(polqual, polrelid) as qual, pg_catalog.pg_get_expr(polwithcheck, polrelid) as with_check
    from pg_catalog.pg_policy where polrelid = 'tenancy.members'::regclass and polname ~ '^A writer (adds|changes|deletes) rows '
  loop
    execute format('alter policy %I on tenancy.members', policy.polname)
      || coalesce(' using (' || policy.qual || owners || ')', '') || coalesce(' with check (' || policy.with_check || owners || ')', '');
  end loop;
end
$$;
--= create table tenancy.members (
--=   tenant_id tenancy.tenant_id not null,
--=   user_id text not null,
--=   role text collate "C" not null default 'member',
--=   created_at timestamptz not null default now(),
--=   updated_at timestamptz not null default now(),
--=   constraint members_pkey primary key (tenant_id, user_id),
--=   constraint members_user_id_length check (length(user_id) between 1 and 200),
--=   constraint members_role_known check (tenancy.role_rank(role) is not null),
--=   constraint members_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade
--= ) partition by hash (tenant_id);
--= comment on table tenancy.members is 'Who belongs to the tenant, and as what: viewer, member, admin or owner.';
--= comment on column tenancy.members.user_id is 'The subject of the user''s tokens.';
--= comment on column tenancy.members.role is 'viewer reads; member also writes files and jobs; admin also manages members; owner everything of the tenant.';
--= -- One partition: the gate looks here on every request, and a generic plan locks every partition that there is.
--= -- Owners are an owner's to add, change and remove.
--= select tenancy.protect('tenancy.members', partitions => 1, expose => true, write_role => 'admin',
--=   write_condition => $$role <> 'owner' or (select request.has_tenant_role('owner'))$$);
--= grant select on tenancy.members to rowhouse_sealer;

--@ table auth.api_keys
do $$
declare
  policy record;
begin
  -- What was narrowed here is narrowed once more.
  for policy in
    select polrelid::regclass as name, polname, before, after,
      pg_catalog.pg_get_expr(polqual, polrelid) as qual, pg_catalog.pg_get_expr(polwithcheck, polrelid) as with_check
    from pg_catalog.pg_policy
    join (values
      ('A member reads the rows of their tenant', $c$(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('viewer'))$c$,
        $c$(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('admin'))$c$)
    ) as changes (policy_name, before, after) on policy_name = polname
    where polrelid in ('auth.api_keys'::regclass, 'auth.api_key_uses'::regclass)
  loop
    policy.before := tenancy.printed_condition(policy.name, policy.before);
    policy.qual := case when tenancy.printed_condition(policy.name, policy.qual) = policy.before then policy.after else policy.qual || ' and (select request.has_tenant_role(''admin''))' end;
    policy.with_check := case when tenancy.printed_condition(policy.name, policy.with_check) = policy.before then policy.after else policy.with_check || ' and (select request.has_tenant_role(''admin''))' end;
    execute format('alter policy %I on %s', policy.polname, policy.name)
      || coalesce(' using (' || policy.qual || ')', '') || coalesce(' with check (' || policy.with_check || ')', '');
  end loop;
end
$$;
--= create table auth.api_keys (
--=   tenant_id tenancy.tenant_id not null,
--=   id text collate "C" not null,
--=   name text not null,
--=   scopes text[] not null,
--=   tenant_role text collate "C" not null,
--=   allowed_networks cidr[],
--=   expires_at timestamptz,
--=   created_by text not null default request.subject(),
--=   created_at timestamptz not null default now(),
--=   updated_at timestamptz not null default now(),
--=   revoked_at timestamptz,
--=   constraint api_keys_pkey primary key (tenant_id, id),
--=   constraint api_keys_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
--=   constraint api_keys_id_form check (id ~ '^[0-9a-f]{16}$'),
--=   constraint api_keys_name_length check (length(name) between 1 and 200),
--=   constraint api_keys_scopes_known check (scopes <@ '{read,write,admin}' and scopes @> '{read}' and cardinality(scopes) <= 3),
--=   constraint api_keys_tenant_role_known check (tenant_role in ('viewer', 'member', 'admin')),
--=   constraint api_keys_allowed_networks_count check (cardinality(allowed_networks) between 1 and 64)
--= ) partition by hash (tenant_id);
--= comment on table auth.api_keys is $$API keys
--=
--= What programs of the tenant come in with. For admins and owners. Make one with create_api_key, end one with revoke_api_key.$$;
--= comment on column auth.api_keys.scopes is $$read; write, without which nothing is written; admin, without which it acts as a member at most.
--= @sample ["read", "write"]$$;
--= comment on column auth.api_keys.tenant_role is 'The most that it may do: viewer, member or admin.';
--= comment on column auth.api_keys.allowed_networks is 'Where it may be used from; anywhere where null. Checked when the edge exchanges it.';
--= comment on column auth.api_keys.expires_at is 'When it ends by itself; never where null.';
--= comment on column auth.api_keys.revoked_at is 'From then on it is refused, and so are the tokens made from it.';
--= -- One partition, as tenancy.members: the gate looks here on every request of a key.
--= select tenancy.protect('auth.api_keys', partitions => 1, read_role => 'admin', write_role => 'admin', client_verbs => '{}');
--= grant select on auth.api_keys to tenant_user;
--= grant select, insert, update on auth.api_keys to rowhouse_sealer;

--@ table auth.api_key_uses
-- With auth.api_keys.
--= create table auth.api_key_uses (
--=   tenant_id tenancy.tenant_id not null,
--=   key_id text collate "C" not null,
--=   last_used_at timestamptz not null,
--=   constraint api_key_uses_pkey primary key (tenant_id, key_id),
--=   constraint api_key_uses_key_fkey foreign key (tenant_id, key_id) references auth.api_keys (tenant_id, id) on delete cascade
--= ) partition by hash (tenant_id);
--= comment on table auth.api_key_uses is 'When each API key was last used. Apart from auth.api_keys, since it is no change that anyone follows.';
--= select tenancy.protect('auth.api_key_uses', partitions => 1, ledger => false, read_role => 'admin', write_role => 'owner', client_verbs => '{}');
--= grant select on auth.api_key_uses to tenant_user;
--= grant select, insert, update on auth.api_key_uses to rowhouse_sealer;

--@ run statistics of what protect() has made
select tenancy.pin_statistics(partrelid) from pg_catalog.pg_partitioned_table
join pg_catalog.pg_attribute on attrelid = partrelid and attnum = partattrs[0] and attname = 'tenant_id'
where partstrat = 'h' and partnatts = 1 and (select relrowsecurity from pg_catalog.pg_class where oid = partrelid);

--@ function tenancy.explain_policies(oid, text, jsonb, jsonb)
create or replace function tenancy.explain_policies(target oid, verb text, present jsonb, wanted jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  policy record;
  initial record;
  value jsonb;
  using_passes boolean;
  check_passes boolean;
  explained jsonb := '[]';
begin
  if verb = 'insert' then
    -- Only defaults that a policy looks at: others may draw from a sequence.
    for initial in
      select attname, pg_get_expr(adbin, adrelid) as expression
      from pg_catalog.pg_attrdef join pg_catalog.pg_attribute on attrelid = adrelid and attnum = adnum and attgenerated = ''
      where adrelid = target and not wanted ? attname and exists (
        select from pg_catalog.pg_policy join pg_catalog.pg_depend on classid = 'pg_catalog.pg_policy'::regclass and objid = pg_policy.oid
        where polrelid = target and refobjid = target and refobjsubid = adnum)
    loop
      begin
        execute format('select to_jsonb(%s)', initial.expression) into value;
        wanted := wanted || jsonb_build_object(initial.attname, value);
      exception when others then
        null; -- stays unknown
      end;
    end loop;
  end if;
  for policy in
    select oid, polname, polpermissive, pg_get_expr(polqual, polrelid) as qual,
      pg_get_expr(coalesce(polwithcheck, polqual), polrelid) as with_check,
      -- Where several are asked for, the next that the caller lacks.
      (select asked[1] from regexp_matches(concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)),
          $r$has_tenant_role\('(\w+)'$r$, 'g') as asked
        order by request.has_tenant_role(asked[1]), tenancy.role_rank(asked[1]) limit 1) as least_role
    from pg_catalog.pg_policy
    where polrelid = target
      and polcmd in ('*', case verb when 'select' then 'r' when 'insert' then 'a' when 'update' then 'w' else 'd' end::"char")
      and exists (select from unnest(polroles) as member where member = 0 or pg_has_role(current_user, member, 'usage'))
    order by not polpermissive, polname
  loop
    using_passes := case when verb <> 'insert' then tenancy.policy_passes(policy.oid, 'using', present) end;
    check_passes := case when verb in ('insert', 'update') then tenancy.policy_passes(policy.oid, 'check', wanted) end;
    explained := explained || jsonb_build_object(
      'policy', policy.polname, 'kind', case when policy.polpermissive then 'permissive' else 'restrictive' end, 'verb', verb,
      'using', case when verb <> 'insert' then policy.qual end, 'using_passes', using_passes,
      'check', case when verb in ('insert', 'update') then policy.with_check end, 'check_passes', check_passes,
      'passes', (verb = 'insert' or using_passes) and (verb not in ('insert', 'update') or check_passes),
      'least_role', policy.least_role);
  end loop;
  if explained @> '[{"kind": "permissive"}]' is false and (select relrowsecurity from pg_catalog.pg_class where oid = target) then
    explained := explained || jsonb_build_object('policy', null, 'kind', 'permissive', 'verb', verb, 'passes', false);
  end if;
  return explained;
end
$$;
comment on function tenancy.explain_policies(oid, text, jsonb, jsonb) is
  'Part of explain_access(): each policy of a table for this verb and role. present: the row as it is; wanted: as it would be.';

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ table tenancy.members
do $$
declare
  policy record;
begin
  -- The restrictive policies take over. What was narrowed here stays so, and says more than it has to.
  for policy in
    select polrelid::regclass as name, polname, before, after,
      pg_catalog.pg_get_expr(polqual, polrelid) as qual, pg_catalog.pg_get_expr(polwithcheck, polrelid) as with_check
    from pg_catalog.pg_policy
    join (values
      ('A writer adds rows to their tenant', $c$tenant_id = (select request.tenant_id()) and (select request.has_tenant_role('admin')) and (role <> 'owner' or (select request.has_tenant_role('owner')))$c$,
        $c$tenant_id = (select request.tenant_id()) and (select request.has_tenant_role('admin'))$c$),
      ('A writer changes rows of their tenant', $c$(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('admin')) and (role <> 'owner' or (select request.has_tenant_role('owner')))$c$,
        $c$(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('admin'))$c$),
      ('A writer deletes rows of their tenant', $c$(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('admin')) and (role <> 'owner' or (select request.has_tenant_role('owner')))$c$,
        $c$(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('admin'))$c$)
    ) as changes (policy_name, before, after) on policy_name = polname
    where polrelid in ('tenancy.members'::regclass)
  loop
    policy.before := tenancy.printed_condition(policy.name, policy.before);
    policy.qual := case when tenancy.printed_condition(policy.name, policy.qual) = policy.before then policy.after else policy.qual end;
    policy.with_check := case when tenancy.printed_condition(policy.name, policy.with_check) = policy.before then policy.after else policy.with_check end;
    execute format('alter policy %I on %s', policy.polname, policy.name)
      || coalesce(' using (' || policy.qual || ')', '') || coalesce(' with check (' || policy.with_check || ')', '');
  end loop;
end
$$;
--= create table tenancy.members (
--=   tenant_id tenancy.tenant_id not null,
--=   user_id text not null,
--=   role text collate "C" not null default 'member',
--=   created_at timestamptz not null default now(),
--=   updated_at timestamptz not null default now(),
--=   constraint members_pkey primary key (tenant_id, user_id),
--=   constraint members_user_id_length check (length(user_id) between 1 and 200),
--=   constraint members_role_known check (tenancy.role_rank(role) is not null),
--=   constraint members_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade
--= ) partition by hash (tenant_id);
--= comment on table tenancy.members is 'Who belongs to the tenant, and as what: viewer, member, admin or owner.';
--= comment on column tenancy.members.user_id is 'The subject of the user''s tokens.';
--= comment on column tenancy.members.role is 'viewer reads; member also writes files and jobs; admin also manages members; owner everything of the tenant.';
--= -- One partition: the gate looks here on every request, and a generic plan locks every partition that there is.
--= select tenancy.protect('tenancy.members', partitions => 1, expose => true, write_role => 'admin');
--= grant select on tenancy.members to rowhouse_sealer;

--@ table auth.api_keys
do $$
declare
  policy record;
begin
  -- The restrictive policies take over. What was narrowed here stays so, and says more than it has to.
  for policy in
    select polrelid::regclass as name, polname, before, after,
      pg_catalog.pg_get_expr(polqual, polrelid) as qual, pg_catalog.pg_get_expr(polwithcheck, polrelid) as with_check
    from pg_catalog.pg_policy
    join (values
      ('A member reads the rows of their tenant', $c$(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('admin'))$c$,
        $c$(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() and (select request.has_tenant_role('viewer'))$c$)
    ) as changes (policy_name, before, after) on policy_name = polname
    where polrelid in ('auth.api_keys'::regclass, 'auth.api_key_uses'::regclass)
  loop
    policy.before := tenancy.printed_condition(policy.name, policy.before);
    policy.qual := case when tenancy.printed_condition(policy.name, policy.qual) = policy.before then policy.after else policy.qual end;
    policy.with_check := case when tenancy.printed_condition(policy.name, policy.with_check) = policy.before then policy.after else policy.with_check end;
    execute format('alter policy %I on %s', policy.polname, policy.name)
      || coalesce(' using (' || policy.qual || ')', '') || coalesce(' with check (' || policy.with_check || ')', '');
  end loop;
end
$$;
--= create table auth.api_keys (
--=   tenant_id tenancy.tenant_id not null,
--=   id text collate "C" not null,
--=   name text not null,
--=   scopes text[] not null,
--=   tenant_role text collate "C" not null,
--=   allowed_networks cidr[],
--=   expires_at timestamptz,
--=   created_by text not null default request.subject(),
--=   created_at timestamptz not null default now(),
--=   updated_at timestamptz not null default now(),
--=   revoked_at timestamptz,
--=   constraint api_keys_pkey primary key (tenant_id, id),
--=   constraint api_keys_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
--=   constraint api_keys_id_form check (id ~ '^[0-9a-f]{16}$'),
--=   constraint api_keys_name_length check (length(name) between 1 and 200),
--=   constraint api_keys_scopes_known check (scopes <@ '{read,write,admin}' and scopes @> '{read}' and cardinality(scopes) <= 3),
--=   constraint api_keys_tenant_role_known check (tenant_role in ('viewer', 'member', 'admin')),
--=   constraint api_keys_allowed_networks_count check (cardinality(allowed_networks) between 1 and 64)
--= ) partition by hash (tenant_id);
--= comment on table auth.api_keys is $$API keys
--=
--= What programs of the tenant come in with. For admins and owners. Make one with create_api_key, end one with revoke_api_key.$$;
--= comment on column auth.api_keys.scopes is $$read; write, without which nothing is written; admin, without which it acts as a member at most.
--= @sample ["read", "write"]$$;
--= comment on column auth.api_keys.tenant_role is 'The most that it may do: viewer, member or admin.';
--= comment on column auth.api_keys.allowed_networks is 'Where it may be used from; anywhere where null. Checked when the edge exchanges it.';
--= comment on column auth.api_keys.expires_at is 'When it ends by itself; never where null.';
--= comment on column auth.api_keys.revoked_at is 'From then on it is refused, and so are the tokens made from it.';
--= -- One partition, as tenancy.members: the gate looks here on every request of a key.
--= select tenancy.protect('auth.api_keys', partitions => 1, write_role => 'admin', client_verbs => '{}');
--= grant select on auth.api_keys to tenant_user;
--= grant select, insert, update on auth.api_keys to rowhouse_sealer;

--@ table auth.api_key_uses
-- With auth.api_keys.
--= create table auth.api_key_uses (
--=   tenant_id tenancy.tenant_id not null,
--=   key_id text collate "C" not null,
--=   last_used_at timestamptz not null,
--=   constraint api_key_uses_pkey primary key (tenant_id, key_id),
--=   constraint api_key_uses_key_fkey foreign key (tenant_id, key_id) references auth.api_keys (tenant_id, id) on delete cascade
--= ) partition by hash (tenant_id);
--= comment on table auth.api_key_uses is 'When each API key was last used. Apart from auth.api_keys, since it is no change that anyone follows.';
--= select tenancy.protect('auth.api_key_uses', partitions => 1, ledger => false, write_role => 'owner', client_verbs => '{}');
--= grant select on auth.api_key_uses to tenant_user;
--= grant select, insert, update on auth.api_key_uses to rowhouse_sealer;

--@ run the policies of what protect() has made
do $$
declare
  protected record;
begin
  -- Every table that protect() has made so far, those that were added here included. A policy that says anything else than protect() made it
  -- say keeps what it says.
  for protected in
    select name, writer
    from pg_catalog.pg_policy
    cross join lateral (select polrelid::regclass as name, pg_catalog.pg_get_expr(polwithcheck, polrelid) as present) as read
    cross join lateral (select substring(present from $r$has_tenant_role\('(\w+)'$r$) as writer) as asked
    where polname = 'A writer adds rows to their tenant'
      and tenancy.printed_condition(name, present) = tenancy.printed_condition(name, format(
        $r$tenant_id = (select request.tenant_id()) and (select request.has_tenant_role('%s'))$r$, writer))
    order by 1
  loop
    execute format('alter policy "A writer adds rows to their tenant" on %s with check ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id() '
      'and (select request.has_tenant_role(%L)))', protected.name, protected.writer);
  end loop;
end
$$;

--@ run statistics of what protect() has made
do $$
declare
  pinned record;
begin
  for pinned in
    select attrelid::regclass as name, (select nspname::text from pg_catalog.pg_namespace where pg_namespace.oid = relnamespace) as schema_name, relname::text as table_name, relkind = 'p' as is_parent
    from pg_catalog.pg_attribute join pg_catalog.pg_class on pg_class.oid = attrelid
    where attname = 'tenant_id' and attstattarget = 0 and exists (
      select from pg_catalog.pg_partitioned_table left join pg_catalog.pg_inherits on inhparent = partrelid
      where partstrat = 'h' and attrelid in (partrelid, inhrelid))
    order by attrelid
  loop
    execute format('alter table only %s alter column tenant_id set statistics default', pinned.name);
    perform pg_catalog.pg_clear_attribute_stats(pinned.schema_name, pinned.table_name, 'tenant_id', pinned.is_parent);
  end loop;
end
$$;

--@ drop function ledger.origin()
drop function ledger.origin();

--@ drop function ledger.has_sleeper()
drop function ledger.has_sleeper();

--@ drop function ledger.announce(smallint)
drop function ledger.announce(smallint);

--@ drop function tenancy.protect(regclass, integer, boolean, boolean, text, text[], text[], text, text)
drop function tenancy.protect(regclass, integer, boolean, boolean, text, text[], text[], text, text);

--@ drop function tenancy.add_policies(regclass, text, text, text)
drop function tenancy.add_policies(regclass, text, text, text);

--@ drop function tenancy.pin_statistics(regclass)
drop function tenancy.pin_statistics(regclass);

--@ run the tenant domain's form, for new values
alter domain tenancy.tenant_id drop constraint tenant_id_form_changed;

--@ function tenancy.plain_expression(text)
create function tenancy.plain_expression(expression text)
returns text
language sql
immutable
security invoker
parallel safe
return regexp_replace(lower(expression), '::text|\s|[()]| as [a-z_]+', '', 'g');
comment on function tenancy.plain_expression(text) is
  'An expression without what PostgreSQL adds when it prints one, to compare it with how it was written.';

--@ function tenancy.add_policy(regclass, text, text, text, text)
create or replace function tenancy.add_policy(target regclass, policy_name text, verb text, roles text, condition text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  present text;
begin
  select coalesce(pg_catalog.pg_get_expr(polqual, polrelid), pg_catalog.pg_get_expr(polwithcheck, polrelid)) into present
  from pg_catalog.pg_policy where polrelid = target and polname = policy_name;
  if not found then
    execute format('create policy %I on %s for %s to %s', policy_name, target, verb, roles)
      || case when verb <> 'insert' then format(' using (%s)', condition) else '' end
      || case when verb not in ('select', 'delete') then format(' with check (%s)', condition) else '' end;
  -- Never re-created, since that takes ACCESS EXCLUSIVE; but never left saying something else than was asked for, either.
  elsif tenancy.plain_expression(present) <> tenancy.plain_expression(condition) then
    perform tenancy.refuse(target, format('policy "%s" is there with another condition', policy_name),
      format('drop policy %I on %s; then protect it again', policy_name, target));
  end if;
end
$$;
comment on function tenancy.add_policy(regclass, text, text, text, text) is
  'Part of protect(): adds one policy where it is missing, and refuses one of the same name that says something else.';

--@ drop function tenancy.printed_condition(regclass, text)
drop function tenancy.printed_condition(regclass, text);

--@ function tenancy.add_policies(regclass, text)
create function tenancy.add_policies(target regclass, write_role text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  -- Twice the same test. The second finds the index and prunes partitions when the statement starts. The first is there because
  -- PostgreSQL runs a leakproof condition of the caller (name = …) before a policy that costs more, and a condition that raises
  -- an error for a match then tells what other tenants store. `= any (array[…])` costs half an operator, so no comparison is
  -- cheaper, and it forms no equivalence class, so it stays in front (order_qual_clauses in PostgreSQL's createplan.c). The array
  -- holds the column, not the tenant: a condition that prunes once more while running makes PostgreSQL 18.4 lose an update
  -- that had to wait for another (test/sql/policies.test.ts).
  own_tenant constant text := '(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()';
  -- In a sub-select, it is evaluated once.
  may_read constant text := own_tenant || ' and (select request.has_tenant_role(''viewer''))';
  may_write text := own_tenant || format(' and (select request.has_tenant_role(%L))', write_role);
begin
  perform tenancy.add_policy(target, 'A member reads the rows of their tenant', 'select', 'tenant_user', may_read);
  perform tenancy.add_policy(target, 'A writer adds rows to their tenant', 'insert', 'tenant_user', may_write);
  perform tenancy.add_policy(target, 'A writer changes rows of their tenant', 'update', 'tenant_user', may_write);
  perform tenancy.add_policy(target, 'A writer deletes rows of their tenant', 'delete', 'tenant_user', may_write);
  perform tenancy.add_policy(target, 'A service works within its sealed tenant', 'all', 'rowhouse_worker, rowhouse_edge', own_tenant);
end
$$;
comment on function tenancy.add_policies(regclass, text) is 'Part of protect(): one policy for each verb and kind of role.';

--@ function tenancy.protect(regclass, integer, boolean, boolean, text, text[], text[])
create function tenancy.protect(
  target regclass,
  partitions integer default 32,
  expose boolean default false,
  ledger boolean default true,
  write_role text default 'member',
  client_verbs text[] default '{insert,update,delete}',
  server_columns text[] default '{}')
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  if tenancy.role_rank(write_role) is null then
    perform tenancy.refuse(target, format('write_role %L is no role of a tenant', write_role), 'viewer, member, admin or owner');
  elsif not client_verbs <@ '{insert,update,delete}'::text[] then
    perform tenancy.refuse(target, format('client_verbs %s has more than insert, update and delete', client_verbs),
      'every exposed table is read; name what clients may do besides');
  end if;
  perform tenancy.check_tenant_column(target);
  perform tenancy.check_keys(target);
  if not (select relforcerowsecurity from pg_catalog.pg_class where oid = target) then
    perform tenancy.check_rows(target);
    execute format('alter table %s enable row level security, force row level security', target);
  end if;
  perform tenancy.add_partitions(target, partitions);
  perform tenancy.add_policies(target, write_role);
  if not exists (
    select from pg_catalog.pg_attrdef join pg_catalog.pg_attribute on attrelid = adrelid and attnum = adnum
    where adrelid = target and attname = 'tenant_id' and pg_catalog.pg_get_expr(adbin, adrelid) ~ '^\(?request\.tenant_id\(\)') then
    execute format('alter table %s alter column tenant_id set default request.tenant_id()', target);
  end if;
  if exists (select from pg_catalog.pg_attribute where attrelid = target and attname = 'updated_at' and not attisdropped)
     and not exists (select from pg_catalog.pg_trigger where tgrelid = target and tgname = 'touch') then
    execute format('create trigger touch before update on %s for each row execute function tenancy.touch()', target);
  end if;
  if ledger and not exists (select from pg_catalog.pg_trigger where tgrelid = target and tgname = 'ledger_delete') then
    perform ledger.follow(target);
  end if;
  if expose then
    perform tenancy.expose(target, client_verbs, server_columns);
  end if;
end
$$;
comment on function tenancy.protect(regclass, integer, boolean, boolean, text, text[], text[]) is
  'Puts a table behind the wall: partitions, forced row-level security, policies, ledger, and if asked its v1 view. '
  'target: a table created with `partition by hash (tenant_id)`; write_role: the least tenant role that writes; client_verbs: what '
  'clients may do through v1 besides reading; server_columns: columns that they never set (created_at and updated_at never). '
  'Safe to repeat. Raises 42P16, saying what to change.';

--@ table ledger.entries
-- Writes all of the ledger anew, while nobody reads or writes.
alter table ledger.entries drop column slot;
alter table ledger.entries add column slot smallint not null generated always as (ledger.slot(tenant_id)) stored;
create index entries_dispatch_idx on ledger.entries (slot, position);
create index entries_row_idx on ledger.entries (tenant_id, table_name, row_id, position);
--= -- One sequence for all tenants of this server: a tenant's order is its own positions, and a tenant that moves to another
--= -- server takes its positions along.
--= create sequence ledger.positions as bigint cache 1;
--=
--= create function ledger.slot(tenant_id text)
--= returns smallint
--= language sql
--= immutable
--= security invoker
--= parallel safe
--= return (pg_catalog.hashtextextended(tenant_id, 0) & 15)::smallint;
--= comment on function ledger.slot(text) is 'Which of the 16 dispatch slots a tenant''s entries go through.';
--=
--= create table ledger.entries (
--=   tenant_id tenancy.tenant_id not null,
--=   position bigint not null default nextval('ledger.positions'),
--=   slot smallint not null generated always as (ledger.slot(tenant_id)) stored,
--=   transaction_id xid8 not null default pg_current_xact_id(),
--=   occurred_at timestamptz not null default clock_timestamp(),
--=   table_name text collate "C" not null,
--=   operation text collate "C" not null,
--=   row_id text not null,
--=   changed text[],
--=   old jsonb,
--=   new jsonb,
--=   subject text,
--=   role text collate "C",
--=   token_id text collate "C",
--=   address inet,
--=   user_agent text,
--=   request_id text,
--=   trace_id text collate "C",
--=   constraint entries_pkey primary key (tenant_id, position),
--=   constraint entries_operation_known check (operation in ('insert', 'update', 'delete'))
--= ) partition by hash (tenant_id);
--= create index entries_row_idx on ledger.entries (tenant_id, table_name, row_id, position);
--= comment on table ledger.entries is 'Every change of tenant data: who, what, when, where, before and after. Append-only for everyone.';
--= comment on column ledger.entries.position is 'Order within the tenant: drawn while the changed rows were locked.';
--= comment on column ledger.entries.row_id is 'The primary key without the tenant; a JSON array where it has several columns.';
--= comment on column ledger.entries.address is 'From X-Forwarded-For: what the edge saw, or what a client that went past it claims.';
--= select tenancy.protect('ledger.entries', partitions => 16, ledger => false);
--=
--= -- This index does not lead with the tenant: the dispatcher reads a slot's tenants together, in order.
--= create index entries_dispatch_idx on ledger.entries (slot, position);
--=
--= -- Nor does this one: what transactions have committed since a snapshot, of whichever tenant (ledger.changes_after).
--= create index entries_follow_idx on ledger.entries (transaction_id);

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

--@ function ledger.row_key(jsonb, text[])
create or replace function ledger.row_key(body jsonb, key_columns text[])
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

--@ function ledger.record()
create or replace function ledger.record()
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

--@ policy "Only an owner adds an owner" on tenancy.members
create policy "Only an owner adds an owner" on tenancy.members
  as restrictive for insert to tenant_user
  with check (role <> 'owner' or (select request.has_tenant_role('owner')));

--@ policy "Only an owner changes an owner" on tenancy.members
create policy "Only an owner changes an owner" on tenancy.members
  as restrictive for update to tenant_user
  using (role <> 'owner' or (select request.has_tenant_role('owner')))
  with check (role <> 'owner' or (select request.has_tenant_role('owner')));

--@ policy "Only an owner removes an owner" on tenancy.members
create policy "Only an owner removes an owner" on tenancy.members
  as restrictive for delete to tenant_user
  using (role <> 'owner' or (select request.has_tenant_role('owner')));

--@ policy "Only an admin sees keys" on auth.api_keys
create policy "Only an admin sees keys" on auth.api_keys
  as restrictive for select to tenant_user using ((select request.has_tenant_role('admin')));

--@ policy "Only an admin sees uses of keys" on auth.api_key_uses
create policy "Only an admin sees uses of keys" on auth.api_key_uses
  as restrictive for select to tenant_user using ((select request.has_tenant_role('admin')));

--@ function tenancy.explain_policies(oid, text, jsonb, jsonb)
create or replace function tenancy.explain_policies(target oid, verb text, present jsonb, wanted jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  policy record;
  initial record;
  value jsonb;
  using_passes boolean;
  check_passes boolean;
  explained jsonb := '[]';
begin
  if verb = 'insert' then
    -- Only defaults that a policy looks at: others may draw from a sequence.
    for initial in
      select attname, pg_get_expr(adbin, adrelid) as expression
      from pg_catalog.pg_attrdef join pg_catalog.pg_attribute on attrelid = adrelid and attnum = adnum and attgenerated = ''
      where adrelid = target and not wanted ? attname and exists (
        select from pg_catalog.pg_policy join pg_catalog.pg_depend on classid = 'pg_catalog.pg_policy'::regclass and objid = pg_policy.oid
        where polrelid = target and refobjid = target and refobjsubid = adnum)
    loop
      begin
        execute format('select to_jsonb(%s)', initial.expression) into value;
        wanted := wanted || jsonb_build_object(initial.attname, value);
      exception when others then
        null; -- stays unknown
      end;
    end loop;
  end if;
  for policy in
    select oid, polname, polpermissive, pg_get_expr(polqual, polrelid) as qual,
      pg_get_expr(coalesce(polwithcheck, polqual), polrelid) as with_check,
      (regexp_match(concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)), $r$has_tenant_role\('(\w+)'$r$))[1] as least_role
    from pg_catalog.pg_policy
    where polrelid = target
      and polcmd in ('*', case verb when 'select' then 'r' when 'insert' then 'a' when 'update' then 'w' else 'd' end::"char")
      and exists (select from unnest(polroles) as member where member = 0 or pg_has_role(current_user, member, 'usage'))
    order by not polpermissive, polname
  loop
    using_passes := case when verb <> 'insert' then tenancy.policy_passes(policy.oid, 'using', present) end;
    check_passes := case when verb in ('insert', 'update') then tenancy.policy_passes(policy.oid, 'check', wanted) end;
    explained := explained || jsonb_build_object(
      'policy', policy.polname, 'kind', case when policy.polpermissive then 'permissive' else 'restrictive' end, 'verb', verb,
      'using', case when verb <> 'insert' then policy.qual end, 'using_passes', using_passes,
      'check', case when verb in ('insert', 'update') then policy.with_check end, 'check_passes', check_passes,
      'passes', (verb = 'insert' or using_passes) and (verb not in ('insert', 'update') or check_passes),
      'least_role', policy.least_role);
  end loop;
  if explained @> '[{"kind": "permissive"}]' is false and (select relrowsecurity from pg_catalog.pg_class where oid = target) then
    explained := explained || jsonb_build_object('policy', null, 'kind', 'permissive', 'verb', verb, 'passes', false);
  end if;
  return explained;
end
$$;
comment on function tenancy.explain_policies(oid, text, jsonb, jsonb) is
  'Part of explain_access(): each policy of a table for this verb and role. present: the row as it is; wanted: as it would be.';

-- After row_key(), which calls it.

--@ drop function ledger.joined_key(jsonb, text[])
drop function ledger.joined_key(jsonb, text[]);
