-- id: 0024
-- name: dangerous_table_privilege
-- level: error
-- fix: migration
-- title: TRUNCATE, REFERENCES, TRIGGER or MAINTAIN is granted
-- why: TRUNCATE empties the table for all tenants, whatever the policies say; TRIGGER and REFERENCES put a role's own code
--   and keys on it; MAINTAIN locks it.

select format('%s for %s (%s)', t.name, r.rolname, string_agg(lower(p.privilege), ', ' order by p.privilege)) as object,
  'row-level security does not apply to it' as detail,
  format('revoke %s on table %s from %I;', string_agg(lower(p.privilege), ', ' order by p.privilege), t.name, r.rolname) as remedy,
  jsonb_build_object('relation', t.name, 'role', r.rolname) as metadata
from privileges p
join tables t on t.oid = p.oid and (t.tenant_column is not null or t.has_rls) and not t.is_partition
join pg_catalog.pg_roles r on r.oid = p.grantee and r.rolname <> 'anon'
where p.kind in ('relation', 'column') and split_part(p.privilege, ' ', 1) in ('TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN')
group by t.name, r.rolname
