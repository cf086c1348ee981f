-- id: 0068
-- name: definer_not_listed
-- level: error
-- fix: migration
-- title: A security definer function is open, and not listed
-- why: It runs with its owner's rights. Each one is a door in the wall: it is listed with a reason, for the roles it was made
--   for, or closed.

select format('%s for %s', f.name, r.name) as object,
  format('it runs as %s', f.owner::regrole) as detail,
  format('%srevoke execute on function %s from %I;%s', f.before, f.name, r.name, f.after) as remedy,
  jsonb_build_object('function', f.name, 'role', r.name, 'owner', f.owner::regrole) as metadata
from functions f
join privileges p on p.kind = 'function' and p.oid = f.oid
join runtime r on r.oid = p.grantee and r.name <> 'anon'
where f.is_definer
