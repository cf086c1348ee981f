-- id: 0072
-- name: dynamic_sql_exposed
-- level: error
-- fix: hand
-- title: A function that clients reach builds SQL
-- why: One value that is not quoted is an injection. The seal holds against it, but all that the caller's tenant owns is
--   open.

select f.name as object,
  format('it runs a string as SQL: %s', (regexp_match(f.bare_code, '[^\n]*\m(?:execute|\w+_to_xml\w*|dblink\w*|ts_stat|ts_rewrite)\M[^\n]*', 'i'))[1]) as detail,
  coalesce((select string_agg(format('revoke execute on function %s from %s;', f.name, r.name), ' ' order by r.name)
    from privileges p join runtime r on r.oid = p.grantee where p.kind = 'function' and p.oid = f.oid),
    format('drop function if exists %s;', f.name)) as remedy,
  jsonb_build_object('function', f.name) as metadata
from functions f
where f.bare_code ~* '\m(execute|\w+_to_xml\w*|dblink\w*|ts_stat|ts_rewrite)\M'
  and (f.exposed
    or exists (select from privileges p join runtime r on r.oid = p.grantee where p.kind = 'function' and p.oid = f.oid)
    or exists (select from pg_catalog.pg_trigger g where g.tgfoid = f.oid and not g.tgisinternal))
