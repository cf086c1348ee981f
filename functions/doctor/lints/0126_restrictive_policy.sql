-- id: 0126
-- name: restrictive_policy
-- level: warning
-- fix: hand
-- title: A restrictive policy comes before the tenant
-- why: PostgreSQL applies restrictive policies first, and the tenant then row by row: it finds no index, and every statement
--   reads the rows of all tenants of the partition.

select p.name as object,
  'it is applied before the permissive policies, which hold the tenant' as detail,
  format('drop policy %s;', p.name) as remedy,
  jsonb_build_object('relation', p.table_name) as metadata
from policies p
where not p.permissive and p.is_tenant_data and not p.is_partition -- of those, 0004 speaks
  and exists (select from runtime r where r.oid = any (p.roles) or 0 = any (p.roles))
