-- id: 0052
-- name: index_not_tenant_leading
-- level: warning
-- fix: hand
-- title: An index does not lead with the tenant
-- why: Every query asks for one tenant first. Such an index reads all tenants' entries, and its size and statistics speak of
--   all.

select i.indexrelid::regclass::text as object,
  format('(%s) on %s', (select string_agg(pg_get_indexdef(i.indexrelid, k, true), ', ' order by k)
    from generate_series(1, i.indnkeyatts) as k), t.name) as detail,
  format('create index on %s (tenant_id, %s); drop index %s;', t.name,
    (select string_agg(pg_get_indexdef(i.indexrelid, k, true), ', ' order by k) from generate_series(1, i.indnkeyatts) as k
     where i.indkey[k - 1] <> t.tenant_attnum), i.indexrelid::regclass) as remedy,
  jsonb_build_object('relation', t.name) as metadata
from pg_catalog.pg_index i
join tables t on t.oid = i.indrelid and t.is_tenant_data and not t.is_partition
where not i.indisunique and i.indkey[0] <> t.tenant_attnum
