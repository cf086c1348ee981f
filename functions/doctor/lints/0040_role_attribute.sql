-- id: 0040
-- name: role_attribute
-- level: error
-- fix: superuser
-- title: A role has an attribute that passes by the wall
-- why: BYPASSRLS and SUPERUSER switch every policy off; CREATEROLE and REPLICATION are ways to get there; a client role that
--   logs in needs no token to be tried.

select r.rolname::text as object,
  'it has ' || concat_ws(', ', case when r.rolsuper then 'superuser' end, case when r.rolbypassrls then 'bypassrls' end,
    case when r.rolcreaterole then 'createrole' end, case when r.rolcreatedb then 'createdb' end,
    case when r.rolreplication then 'replication' end, case when r.rolcanlogin and k.logs_in is not true then 'login' end) as detail,
  format('alter role %I nosuperuser nobypassrls nocreaterole nocreatedb noreplication%s;', r.rolname,
    case when k.logs_in then '' else ' nologin' end) as remedy,
  jsonb_build_object('role', r.rolname) as metadata
from pg_catalog.pg_roles r
left join known_roles k on k.name = r.rolname
where (k.name is not null or exists (select from runtime where runtime.oid = r.oid))
  and (r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolcreatedb or r.rolreplication or (r.rolcanlogin and k.logs_in is not true))
