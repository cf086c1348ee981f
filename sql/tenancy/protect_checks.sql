--@ function tenancy.refuse(regclass,text,text)
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
