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

--@ function tenancy.add_partitions(regclass,integer)
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

--@ function tenancy.expose(regclass,text[],text[])
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
  if exists (select from pg_catalog.pg_trigger where tgrelid = target and tgname = 'ledger_insert') then
    perform ledger.add_event_source(target, format('v1.%I', table_name)::regclass);
  end if;
end
$$;
comment on function tenancy.expose(regclass, text[], text[]) is
  'Part of protect(): the v1 view, the grants of exactly what clients may do with it and with the table beneath, and its events.';

--@ function tenancy.protect(regclass,integer,boolean,boolean,text,text[],text[],text,text)
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
