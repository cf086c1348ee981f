-- id: 0120
-- name: system_relation_granted
-- level: error
-- fix: superuser
-- title: A system table was opened
-- why: What PostgreSQL closes holds samples of every tenant's values (`pg_statistic`), password hashes, and connection strings.
--   No policy stands before it.

select format('%s for %s', c.oid::regclass, coalesce(r.name, 'public')) as object,
  format('holds %s, which PostgreSQL does not grant', string_agg(distinct lower(g.privilege_type), ', ')) as detail,
  format('revoke %s on table %s from %s;', string_agg(distinct lower(g.privilege_type) || coalesce(' (' || quote_ident(held.attname) || ')', ''), ', '),
    c.oid::regclass, coalesce(quote_ident(r.name), 'public')) as remedy,
  jsonb_build_object('relation', c.oid::regclass, 'role', coalesce(r.name, 'public')) as metadata
from pg_catalog.pg_class c
cross join lateral (
  select 0 as attnum, null as attname, c.relacl as acl
  union all
  select a.attnum, a.attname, a.attacl from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attacl is not null
) as held
cross join aclexplode(held.acl) g
left join runtime r on r.oid = g.grantee
where c.relnamespace = 'pg_catalog'::regnamespace and (g.grantee = 0 or r.oid is not null)
  and not exists (
    select from pg_catalog.pg_init_privs i cross join aclexplode(i.initprivs) first
    where i.classoid = 'pg_catalog.pg_class'::regclass and i.objoid = c.oid and i.objsubid = held.attnum
      and first.grantee = g.grantee and first.privilege_type = g.privilege_type)
group by c.oid, r.name
