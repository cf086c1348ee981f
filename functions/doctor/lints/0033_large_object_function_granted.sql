-- id: 0033
-- name: large_object_function_granted
-- level: error
-- fix: superuser
-- title: Large objects can be reached
-- why: Large objects know nothing of tenants or policies, and fill the disk.

select format('%s for %s', p.oid::regprocedure, coalesce(r.name, 'public')) as object,
  'large objects have no tenant and no policies' as detail,
  format('revoke execute on function %s from %s;', p.oid::regprocedure, coalesce(quote_ident(r.name), 'public')) as remedy,
  jsonb_build_object('function', p.oid::regprocedure) as metadata
from pg_catalog.pg_proc p
cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g
left join runtime r on r.oid = g.grantee
where p.pronamespace = 'pg_catalog'::regnamespace and (p.proname ~ '^lo_' or p.proname in ('lowrite', 'loread'))
  and (g.grantee = 0 or r.oid is not null)
union all
select format('large object %s for %s', o.oid, coalesce(r.name, 'public')),
  'large objects have no tenant and no policies',
  format('revoke all on large object %s from %s;', o.oid, coalesce(quote_ident(r.name), 'public')),
  jsonb_build_object('large_object', o.oid)
from pg_catalog.pg_largeobject_metadata o
cross join aclexplode(o.lomacl) g
left join runtime r on r.oid = g.grantee
where g.grantee = 0 or r.oid is not null
