-- id: 0039
-- name: role_membership
-- level: error
-- fix: superuser
-- title: A role can become what it should not
-- why: A login is worth every role that it can become. The authenticator may become anon, tenant_user and operator, the edge
--   tenant_user, the migrator the owner: nothing else.

select format('%s in %s', m.member::regrole, m.roleid::regrole) as object,
  concat_ws(', ', case when expected.member is null then 'this membership is not one of ours' end,
    case when m.inherit_option then 'it inherits' end, case when m.admin_option then 'it may let others in' end) as detail,
  format('revoke %s from %s;', m.roleid::regrole, m.member::regrole) || case when expected.member is null then ''
    else format(' grant %s to %s with inherit false, set true;', m.roleid::regrole, m.member::regrole) end as remedy,
  jsonb_build_object('role', m.member::regrole, 'of', m.roleid::regrole) as metadata
from pg_catalog.pg_auth_members m
join pg_catalog.pg_roles r on r.oid = m.member
left join (values ('authenticator', 'anon'), ('authenticator', 'tenant_user'), ('authenticator', 'operator'),
    ('rowhouse_migrator', 'rowhouse_owner'), ('rowhouse_edge', 'tenant_user')) as expected (member, role)
  on expected.member = r.rolname and to_regrole(expected.role) = m.roleid
where not exists (select from known_roles k where k.kind = 'maker' and to_regrole(k.name) = m.roleid)
  and (exists (select from known_roles k where k.name = r.rolname) or exists (select from runtime where runtime.oid = m.member))
  and (expected.member is null or m.inherit_option or m.admin_option)
