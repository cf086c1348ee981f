-- migrate:up
set local lock_timeout = '3s';
set local search_path = '';

--@ function tenancy.refuse(regclass, text, text)
create function tenancy.refuse(target regclass, problem text, remedy text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
begin
  raise exception using
    errcode = 'invalid_table_definition',
    message = format('%s cannot be protected: %s', target, problem),
    hint = remedy;
end
$$;
comment on function tenancy.refuse(regclass, text, text) is 'Raises invalid_table_definition (42P16): what is wrong with a table, and what to change.';

--@ function tenancy.check_tenant_column(regclass)
create function tenancy.check_tenant_column(target regclass)
returns void
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
declare
  tenant_column pg_catalog.pg_attribute;
begin
  select * into tenant_column from pg_catalog.pg_attribute
  where attrelid = target and attname = 'tenant_id' and not attisdropped;
  if not found then
    perform tenancy.refuse(target, 'it has no column tenant_id', 'add: tenant_id tenancy.tenant_id not null');
  elsif tenant_column.atttypid <> 'tenancy.tenant_id'::regtype then
    perform tenancy.refuse(target, format('tenant_id is of type %s', tenant_column.atttypid::regtype),
      'make it of type tenancy.tenant_id');
  elsif not tenant_column.attnotnull then
    perform tenancy.refuse(target, 'tenant_id can be null', 'add: not null');
  end if;
  if not exists (
    select from pg_catalog.pg_partitioned_table
    where partrelid = target and partstrat = 'h' and partnatts = 1 and partattrs[0] = tenant_column.attnum) then
    perform tenancy.refuse(target, 'it is not partitioned by hash (tenant_id)',
      'create it with: partition by hash (tenant_id)');
  end if;
end
$$;
comment on function tenancy.check_tenant_column(regclass) is
  'Part of protect(): tenant_id exists, has the right type, is not null, and is the hash partition key.';

--@ function tenancy.check_keys(regclass)
create function tenancy.check_keys(target regclass)
returns void
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
declare
  tenant_attnum smallint := (
    select attnum from pg_catalog.pg_attribute where attrelid = target and attname = 'tenant_id');
  wrong record;
begin
  if not exists (select from pg_catalog.pg_constraint where conrelid = target and contype = 'p') then
    perform tenancy.refuse(target, 'it has no primary key', 'add: primary key (tenant_id, id)');
  end if;

  select index_class.relname, indisprimary, indisunique into wrong
  from pg_catalog.pg_index
  join pg_catalog.pg_class index_class on index_class.oid = indexrelid
  where indrelid = target and indkey[0] <> tenant_attnum
  order by indisprimary desc, indisunique desc, index_class.relname
  limit 1;
  if found then
    perform tenancy.refuse(target,
      format('%s %s does not lead with tenant_id',
        case when wrong.indisprimary then 'primary key' when wrong.indisunique then 'unique key' else 'index' end, wrong.relname),
      'put tenant_id first');
  end if;

  -- Partial foreign keys of the partitions and the reverse ends of a reference are the parent's own.
  select conname into wrong
  from pg_catalog.pg_constraint
  where conrelid = target and contype = 'f' and (
    conkey[1] <> tenant_attnum
    or not exists (
      select from pg_catalog.pg_attribute referenced
      where referenced.attrelid = confrelid and referenced.attnum = confkey[1]
        and referenced.atttypid = 'tenancy.tenant_id'::regtype))
  order by conname
  limit 1;
  if found then
    perform tenancy.refuse(target, format('foreign key %s does not lead with tenant_id', wrong.conname),
      'reference (tenant_id, …) of another protected table: foreign key (tenant_id, x_id) references … (tenant_id, id)');
  end if;
end
$$;
comment on function tenancy.check_keys(regclass) is
  'Part of protect(): primary key, unique keys, indexes and foreign keys all lead with tenant_id.';

--@ function tenancy.check_rows(regclass)
create function tenancy.check_rows(target regclass)
returns void
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
declare
  stray text;
begin
  execute format(
    'select tenant_id from %s as target where not exists (select from tenancy.tenants where id = target.tenant_id) limit 1',
    target) into stray;
  if stray is not null then
    perform tenancy.refuse(target, format('it has rows of %s, which is no tenant', stray),
      'create the tenant first, or delete those rows');
  end if;
end
$$;
comment on function tenancy.check_rows(regclass) is 'Part of protect(): every row that is already there belongs to a tenant.';

--@ function tenancy.touch()
create function tenancy.touch()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  new.updated_at := now();
  return new;
end
$$;
comment on function tenancy.touch() is 'Keeps updated_at true.';

--@ function tenancy.add_partitions(regclass, integer)
create function tenancy.add_partitions(target regclass, partitions integer)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  schema_name text;
  table_name text;
  partition regclass;
begin
  select relnamespace::regnamespace::text, relname into schema_name, table_name
  from pg_catalog.pg_class where oid = target;
  if not exists (select from pg_catalog.pg_inherits where inhparent = target) then
    if partitions not between 1 and 1024 then
      perform tenancy.refuse(target, format('%s partitions were asked for', partitions), 'ask for 1 to 1024');
    end if;
    for remainder in 0 .. partitions - 1 loop
      execute format('create table %s.%I partition of %s for values with (modulus %s, remainder %s)',
        schema_name, format('%s_p%s', table_name, lpad(remainder::text, greatest(2, length((partitions - 1)::text)), '0')), target, partitions, remainder);
    end loop;
  end if;
  -- No policy and no grant of its own: a partition can be reached through its parent alone, even by the owner.
  for partition in
    select inhrelid from pg_catalog.pg_inherits join pg_catalog.pg_class on pg_class.oid = inhrelid
    where inhparent = target and not (relrowsecurity and relforcerowsecurity)
  loop
    execute format('alter table %s enable row level security, force row level security', partition);
  end loop;
end
$$;
comment on function tenancy.add_partitions(regclass, integer) is 'Part of protect(): creates the hash partitions and closes each of them.';

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
create function tenancy.add_policy(target regclass, policy_name text, verb text, roles text, condition text)
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

--@ function tenancy.expose(regclass, text[], text[])
create function tenancy.expose(target regclass, client_verbs text[], server_columns text[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  table_name text := (select relname from pg_catalog.pg_class where oid = target);
  every_column text;
  client_columns text;
  relation text;
  described record;
begin
  select string_agg(quote_ident(attname), ', ' order by attnum),
         string_agg(quote_ident(attname), ', ' order by attnum) filter (
           where attname <> all (server_columns || '{created_at,updated_at}'::text[]) and attgenerated = '')
  into every_column, client_columns
  from pg_catalog.pg_attribute where attrelid = target and attnum > 0 and not attisdropped;

  execute format('create or replace view v1.%I with (security_invoker = true) as select %s from %s', table_name, every_column, target);
  execute format('comment on view v1.%I is %L', table_name, pg_catalog.obj_description(target, 'pg_class'));
  for described in
    select attname, pg_catalog.col_description(target, attnum) as says from pg_catalog.pg_attribute
    where attrelid = target and attnum > 0 and not attisdropped and pg_catalog.col_description(target, attnum) is not null
  loop
    execute format('comment on column v1.%I.%I is %L', table_name, described.attname, described.says);
  end loop;
  foreach relation in array array[target::text, format('v1.%I', table_name)] loop
    execute format('revoke insert, update, delete on %s from tenant_user', relation);
    execute format('grant select on %s to tenant_user', relation);
    if 'insert' = any (client_verbs) then
      execute format('grant insert (%s) on %s to tenant_user', client_columns, relation);
    end if;
    if 'update' = any (client_verbs) then
      execute format('grant update (%s) on %s to tenant_user', client_columns, relation);
    end if;
    if 'delete' = any (client_verbs) then
      execute format('grant delete on %s to tenant_user', relation);
    end if;
  end loop;
end
$$;
comment on function tenancy.expose(regclass, text[], text[]) is
  'Part of protect(): the v1 view, and the grants of exactly what clients may do with it and with the table beneath.';

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

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ drop function tenancy.protect(regclass, integer, boolean, boolean, text, text[], text[])
drop function tenancy.protect(regclass, integer, boolean, boolean, text, text[], text[]);

--@ drop function tenancy.expose(regclass, text[], text[])
drop function tenancy.expose(regclass, text[], text[]);

--@ drop function tenancy.add_policies(regclass, text)
drop function tenancy.add_policies(regclass, text);

--@ drop function tenancy.add_policy(regclass, text, text, text, text)
drop function tenancy.add_policy(regclass, text, text, text, text);

--@ drop function tenancy.plain_expression(text)
drop function tenancy.plain_expression(text);

--@ drop function tenancy.add_partitions(regclass, integer)
drop function tenancy.add_partitions(regclass, integer);

--@ drop function tenancy.touch()
drop function tenancy.touch();

--@ drop function tenancy.check_rows(regclass)
drop function tenancy.check_rows(regclass);

--@ drop function tenancy.check_keys(regclass)
drop function tenancy.check_keys(regclass);

--@ drop function tenancy.check_tenant_column(regclass)
drop function tenancy.check_tenant_column(regclass);

--@ drop function tenancy.refuse(regclass, text, text)
drop function tenancy.refuse(regclass, text, text);
