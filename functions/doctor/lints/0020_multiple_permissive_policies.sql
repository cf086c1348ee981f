-- id: 0020
-- name: multiple_permissive_policies
-- level: warning
-- fix: hand
-- title: Several permissive policies for one role and verb
-- why: They are joined with OR: the widest one counts, each is evaluated, and whoever tightens one of them has tightened
--   nothing.

select format('%s for %s (%s)', p.table_name, r.rolname, verbs.verb) as object,
  format('%s policies, joined with OR: %s', count(*), string_agg(p.name, '; ' order by p.name)) as detail,
  format('drop policy if exists %s;', max(p.name)) as remedy,
  jsonb_build_object('relation', p.table_name, 'role', r.rolname, 'verb', verbs.verb) as metadata
from policies p
join (values ('select', 'r'), ('insert', 'a'), ('update', 'w'), ('delete', 'd')) as verbs (verb, command)
  on p.command in ('*', verbs.command::"char")
join pg_catalog.pg_roles r on r.oid = any (p.roles)
where p.permissive
group by p.table_name, r.rolname, verbs.verb
having count(*) > 1
