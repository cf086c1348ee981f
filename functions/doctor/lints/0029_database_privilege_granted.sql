-- id: 0029
-- name: database_privilege_granted
-- level: error
-- fix: migration
-- title: A role from outside can create in the database
-- why: Temporary tables come before every other schema when a name has no schema: a session could shadow what a function
--   reads. CREATE makes schemas.

select r.name as object,
  format('holds %s on the database', string_agg(lower(p.privilege), ', ' order by p.privilege)) as detail,
  format('revoke %s on %s from %I;', string_agg(lower(p.privilege), ', ' order by p.privilege), p.target, r.name) as remedy,
  jsonb_build_object('role', r.name) as metadata
from privileges p
join runtime r on r.oid = p.grantee and r.name <> 'anon'
where p.kind = 'database' and p.privilege in ('CREATE', 'TEMPORARY')
group by r.name, p.target
