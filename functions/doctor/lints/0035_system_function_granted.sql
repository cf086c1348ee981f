-- id: 0035
-- name: system_function_granted
-- level: error
-- fix: superuser
-- title: A system function was opened
-- why: What PostgreSQL closes reads files, ends other sessions, or shows what they do.

select format('%s for %s', p.oid::regprocedure, coalesce(r.name, 'public')) as object,
  'PostgreSQL does not grant it' as detail,
  format('revoke execute on function %s from %s;', p.oid::regprocedure, coalesce(quote_ident(r.name), 'public')) as remedy,
  jsonb_build_object('function', p.oid::regprocedure) as metadata
from pg_catalog.pg_proc p
cross join aclexplode(p.proacl) g
left join runtime r on r.oid = g.grantee
where p.pronamespace = 'pg_catalog'::regnamespace and p.proname !~ '^lo_|^lowrite$|^loread$|^pg_(try_)?advisory_'
  and (r.oid is not null or g.grantee = 0 and exists (
    select from pg_catalog.pg_init_privs i
    where i.classoid = 'pg_catalog.pg_proc'::regclass and i.objoid = p.oid
      and not exists (select from aclexplode(i.initprivs) first where first.grantee = 0)))
