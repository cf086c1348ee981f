-- id: 0082
-- name: extension_function_granted
-- level: error
-- fix: superuser
-- title: A function of an extension can be called
-- why: dblink opens connections, pgcrypto makes keys, others read files. None was written with tenants in mind.

select format('%s for %s', p.oid::regprocedure, r.name) as object,
  format('from the extension %s', e.extname) as detail,
  format('revoke execute on function %s from public, %I;', p.oid::regprocedure, r.name) as remedy,
  jsonb_build_object('function', p.oid::regprocedure, 'extension', e.extname, 'role', r.name) as metadata
from pg_catalog.pg_extension e
join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_extension'::regclass and d.refobjid = e.oid
  and d.classid = 'pg_catalog.pg_proc'::regclass and d.deptype = 'e'
join pg_catalog.pg_proc p on p.oid = d.objid
join runtime r on has_schema_privilege(r.oid, p.pronamespace, 'usage') and has_function_privilege(r.oid, p.oid, 'execute')
where e.extname <> 'plpgsql'
