-- id: 0017
-- name: directory_granted
-- level: error
-- fix: migration
-- title: A client reaches the directory of tenants
-- why: Its keys do not lead with a tenant: conditions on them run before any policy, and tell that a row exists. Clients
--   reach the directory through functions that check first.

select format('%s for %s', t.name, r.name) as object,
  format('holds %s', string_agg(distinct lower(p.privilege), ', ')) as detail,
  format('revoke all on table %s from %I;', t.name, r.name) as remedy,
  jsonb_build_object('relation', t.name, 'role', r.name) as metadata
from tables t
join privileges p on p.oid = t.oid and p.kind in ('relation', 'column')
join runtime r on r.oid = p.grantee and r.kind = 'client' and r.name <> 'anon'
where t.tenant_column is not null and not t.is_tenant_data and not t.is_partition
group by t.name, r.name
