-- id: 0038
-- name: maker_member
-- level: error
-- fix: superuser
-- title: A role is a member of the sealer or the dispatcher
-- why: A member can take the role and write the seal, or read every tenant's history. The owner makes functions as them (`set
--   role`), and does not have their privileges.

select format('%s in %s', m.member::regrole, k.name) as object,
  concat_ws(', ', 'it may take the role', case when m.inherit_option then 'inherits from it' end,
    case when m.admin_option then 'may let others in' end) as detail,
  format('revoke %s from %s;', k.name, m.member::regrole)
    || case when r.rolname = 'rowhouse_owner' then format(' grant %s to rowhouse_owner with inherit false, set true;', k.name) else '' end as remedy,
  jsonb_build_object('role', m.member::regrole, 'of', k.name) as metadata
from pg_catalog.pg_auth_members m
join known_roles k on k.kind = 'maker' and to_regrole(k.name) = m.roleid
join pg_catalog.pg_roles r on r.oid = m.member and not r.rolsuper
where r.rolname <> 'rowhouse_owner' or m.inherit_option or m.admin_option
