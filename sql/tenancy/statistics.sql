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
