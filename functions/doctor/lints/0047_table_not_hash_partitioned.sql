-- id: 0047
-- name: table_not_hash_partitioned
-- level: error
-- fix: hand
-- title: A table is not partitioned by tenant
-- why: It was not made by tenancy.protect(). One tenant's growth slows all, and it cannot be moved or tuned by itself.

select t.name as object,
  'create it with partition by hash (tenant_id), then call tenancy.protect()' as detail,
  format('alter table %s rename to %I; create table %1$s (like %3$s including all) partition by hash (tenant_id);',
    t.name, t.short_name || '_old', format('%I.%I', t.schema, t.short_name || '_old')) as remedy,
  jsonb_build_object('relation', t.name) as metadata
from tables t
left join pg_catalog.pg_partitioned_table p on p.partrelid = t.oid
where t.is_tenant_data and not t.is_partition
  and (p.partrelid is null or p.partstrat <> 'h' or p.partnatts <> 1 or p.partattrs[0] <> t.tenant_attnum)
