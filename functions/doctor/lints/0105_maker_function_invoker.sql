-- id: 0105
-- name: maker_function_invoker
-- level: warning
-- fix: migration
-- title: A function of the sealer or the dispatcher runs with its caller's rights
-- why: It is theirs because it needs their rights for what it checks or keeps. With its caller's it fails, and whoever makes it work by
--   granting the caller those rights opens what it guards.

select f.name as object,
  format('it is %s''s, others may call it, and it is no SECURITY DEFINER', k.name) as detail,
  format('%salter function %s security definer;%s', f.before, f.name, f.after) as remedy,
  jsonb_build_object('function', f.name, 'owner', k.name) as metadata
from functions f
join known_roles k on k.kind = 'maker' and to_regrole(k.name) = f.owner
where not f.is_definer
  and exists (select from privileges p where p.kind = 'function' and p.oid = f.oid)
