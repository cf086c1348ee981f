-- id: 0023
-- name: grant_option
-- level: error
-- fix: migration
-- title: A role can pass its privilege on
-- why: Who comes in through that role can grant it to others, and the wall changes without a migration.

select format('%s for %s', p.target, r.rolname) as object,
  format('may pass on %s', string_agg(distinct lower(p.privilege), ', ')) as detail,
  p.before || string_agg(distinct format('revoke grant option for %s on %s from %I cascade;',
    lower(p.privilege), p.target, r.rolname), ' ') || p.after as remedy,
  jsonb_build_object('name', p.name, 'role', r.rolname) as metadata
from privileges p
join pg_catalog.pg_roles r on r.oid = p.grantee
where p.grantable
group by p.target, p.name, r.rolname, p.before, p.after
