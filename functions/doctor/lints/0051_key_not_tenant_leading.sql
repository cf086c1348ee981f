-- id: 0051
-- name: key_not_tenant_leading
-- level: error
-- fix: hand
-- title: A key does not lead with the tenant
-- why: Where tenant_id is missing, one tenant's insert fails on another's value, and so tells that it exists. Where it only
--   stands later, the index serves nobody's query.

select i.indexrelid::regclass::text as object,
  format('%s (%s) on %s', case when i.indisprimary then 'primary key' else 'unique index' end,
    (select string_agg(pg_get_indexdef(i.indexrelid, k, true), ', ' order by k) from generate_series(1, i.indnkeyatts) as k), t.name) as detail,
  format('create unique index on %s (tenant_id, %s);', t.name,
    (select string_agg(pg_get_indexdef(i.indexrelid, k, true), ', ' order by k) from generate_series(1, i.indnkeyatts) as k
     where i.indkey[k - 1] <> t.tenant_attnum)) as remedy,
  jsonb_build_object('relation', t.name) as metadata
from pg_catalog.pg_index i
join tables t on t.oid = i.indrelid and t.is_tenant_data and not t.is_partition
where i.indisunique and i.indkey[0] <> t.tenant_attnum
