-- id: 0001
-- name: rls_disabled
-- level: error
-- fix: migration
-- title: Row-level security is off
-- why: Whoever holds a grant reads and writes the rows of every tenant; a partition is a table of its own and needs its own
--   lock.

select t.name as object,
  case when t.is_partition then 'this partition' else 'this table' end || ' holds rows of many tenants and shows them all' as detail,
  format('alter table %s enable row level security, force row level security;', t.name) as remedy,
  jsonb_build_object('relation', t.name, 'partition', t.is_partition) as metadata
from tables t
where not t.has_rls and (t.is_tenant_data
  or t.tenant_column is not null and exists (select from privileges p where p.oid = t.oid and p.kind in ('relation', 'column')))
