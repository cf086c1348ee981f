-- id: 0036
-- name: seal_setting_granted
-- level: error
-- fix: superuser
-- title: Somebody but the sealer can write the seal
-- why: This setting holds the tenant of the transaction. Whoever may write it, is any tenant.

select coalesce(r.rolname, 'public') as object,
  format('holds %s on backtrace_functions', lower(g.privilege_type)) as detail,
  format('revoke %s on parameter backtrace_functions from %s;', lower(g.privilege_type), coalesce(quote_ident(r.rolname), 'public')) as remedy,
  jsonb_build_object('role', coalesce(r.rolname, 'public')) as metadata
from pg_catalog.pg_parameter_acl a
cross join aclexplode(a.paracl) g
left join pg_catalog.pg_roles r on r.oid = g.grantee
where a.parname = 'backtrace_functions' and r.rolsuper is not true
  and (r.rolname is distinct from 'rowhouse_sealer' or g.privilege_type <> 'SET')
