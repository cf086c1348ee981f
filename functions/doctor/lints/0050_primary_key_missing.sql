-- id: 0050
-- name: primary_key_missing
-- level: error
-- fix: hand
-- title: A table has no primary key
-- why: The ledger names rows by it, upserts and links need it, and rows could not be told apart.

select t.name as object,
  'the ledger cannot say which row changed' as detail,
  format('alter table %s add primary key (tenant_id, id);', t.name) as remedy,
  jsonb_build_object('relation', t.name) as metadata
from tables t
where t.is_tenant_data and not t.is_partition and t.tenant_not_null
  and not exists (select from pg_catalog.pg_index i where i.indrelid = t.oid and i.indisprimary)
