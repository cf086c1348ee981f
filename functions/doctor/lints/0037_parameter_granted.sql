-- id: 0037
-- name: parameter_granted
-- level: error
-- fix: superuser
-- title: A role can set what only superusers set
-- why: `session_replication_role` switches triggers and foreign keys off, others load code. None is needed here.

select format('%s for %s', a.parname, coalesce(r.rolname, 'public')) as object,
  format('holds %s', string_agg(lower(g.privilege_type), ', ' order by g.privilege_type)) as detail,
  format('revoke all on parameter %s from %s;', a.parname, coalesce(quote_ident(r.rolname), 'public')) as remedy,
  jsonb_build_object('parameter', a.parname, 'role', coalesce(r.rolname, 'public')) as metadata
from pg_catalog.pg_parameter_acl a
cross join aclexplode(a.paracl) g
left join pg_catalog.pg_roles r on r.oid = g.grantee
where a.parname <> 'backtrace_functions' and r.rolsuper is not true
group by a.parname, r.rolname
