-- id: 0027
-- name: sequence_granted
-- level: error
-- fix: migration
-- title: A sequence can be reached
-- why: A sequence has no tenant: its value tells how much all the others write, and setval() breaks them. Keys are uuidv7(),
--   which needs none.

select format('%s for %s', p.name, r.rolname) as object,
  format('holds %s', string_agg(lower(p.privilege), ', ' order by p.privilege)) as detail,
  format('revoke all on %s from %I;', p.target, r.rolname) as remedy,
  jsonb_build_object('relation', p.name, 'role', r.rolname) as metadata
from privileges p
join pg_catalog.pg_roles r on r.oid = p.grantee and r.rolname <> 'anon'
where p.kind = 'sequence'
group by p.name, p.target, r.rolname
