-- id: 0005
-- name: unprotected_table_granted
-- level: error
-- fix: hand
-- title: A table without row-level security is granted
-- why: Every tenant sees, or changes, the same rows. That is right for a list of plans, and for nothing that says anything of
--   a tenant.

select format('%s for %s (%s)', t.name, r.rolname, string_agg(distinct lower(split_part(p.privilege, ' ', 1)), ', ')) as object,
  'the same rows for every tenant: list it as an exception if that is meant, or give it a tenant_id and protect it' as detail,
  format('revoke all on table %s from %I;', t.name, r.rolname) as remedy,
  jsonb_build_object('relation', t.name, 'role', r.rolname) as metadata
from privileges p
join tables t on t.oid = p.oid and t.tenant_column is null and not t.has_rls
join pg_catalog.pg_roles r on r.oid = p.grantee and r.rolname <> 'anon'
where p.kind in ('relation', 'column')
group by t.name, r.rolname
