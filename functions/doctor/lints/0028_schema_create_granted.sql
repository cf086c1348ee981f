-- id: 0028
-- name: schema_create_granted
-- level: error
-- fix: migration
-- title: A role from outside can create objects
-- why: It could put a function, a table or a view of its own where ours are looked for, or into the API.

select format('%s for %s', p.name, r.name) as object,
  'it may create objects there' as detail,
  format('revoke create on schema %I from %I;', p.name, r.name) as remedy,
  jsonb_build_object('schema', p.name, 'role', r.name) as metadata
from privileges p
join runtime r on r.oid = p.grantee
where p.kind = 'schema' and p.privilege = 'CREATE'
