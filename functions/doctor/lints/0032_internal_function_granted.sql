-- id: 0032
-- name: internal_function_granted
-- level: warning
-- fix: migration
-- title: A client can call an internal function
-- why: It is not in the API, so nobody tests it as one. A session with direct SQL can call it with any arguments.

select format('%s for %s', f.name, r.name) as object,
  'it is outside the API schemas and can be called by direct SQL' as detail,
  format('%srevoke execute on function %s from %I;%s', f.before, f.name, r.name, f.after) as remedy,
  jsonb_build_object('function', f.name, 'role', r.name) as metadata
from functions f
join privileges p on p.kind = 'function' and p.oid = f.oid
join runtime r on r.oid = p.grantee and r.kind = 'client' and r.name <> 'anon'
where not f.is_definer and not f.exposed and f.schema <> 'request'
