-- id: 0034
-- name: advisory_lock_function_granted
-- level: error
-- fix: superuser
-- title: Clients can take advisory locks
-- why: The ledger's order hangs on advisory locks. A session that takes them holds back the dispatcher of every tenant.

select format('%s for %s', p.oid::regprocedure, coalesce(r.name, 'public')) as object,
  'a stolen session could hold back the ledger''s dispatcher' as detail,
  format('revoke execute on function %s from %s;', p.oid::regprocedure, coalesce(quote_ident(r.name), 'public')) as remedy,
  jsonb_build_object('function', p.oid::regprocedure) as metadata
from pg_catalog.pg_proc p
cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g
left join runtime r on r.oid = g.grantee and r.kind = 'client'
where p.pronamespace = 'pg_catalog'::regnamespace and p.proname ~ '^pg_(try_)?advisory_'
  and (g.grantee = 0 or r.oid is not null)
