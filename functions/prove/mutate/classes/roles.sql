-- class: role

with ours (name, holds) as (
  select r.rolname::text, r.rolname in (select role from outsiders) from pg_catalog.pg_roles r
  where r.rolname in (select role from outsiders)
    or r.oid in (select owner from relations union select proowner from functions)
    or exists (select from pg_catalog.pg_auth_members m where m.member = r.oid and m.roleid in (select owner from relations))
)
-- One more membership for each of those who come from outside.
select 'role ' || o.role as element, format('member of %s%s', g.name, v.how) as how, format('grant %I to %I%s', g.name, o.role, v.options) as sql
from outsiders o
cross join (select name from ours union values ('pg_read_all_data'), ('pg_write_all_data'), ('pg_maintain'), ('pg_monitor'), ('pg_signal_backend'),
  ('pg_read_server_files'), ('pg_write_server_files'), ('pg_execute_server_program'), ('pg_use_reserved_connections'), ('pg_create_subscription')) as g
cross join (values ('', '')) as v (how, options)
where g.name <> o.role and not pg_has_role(o.role, g.name, 'member') and not pg_has_role(g.name, o.role, 'member')
union all
-- The memberships that there are, with more than they say.
select format('role %s in %s', m.member::regrole, m.roleid::regrole), v.how, format('grant %s to %s with %s', m.roleid::regrole, m.member::regrole, v.options)
from pg_catalog.pg_auth_members m
cross join lateral (values ('inherits its rights', 'inherit true', m.inherit_option), ('can pass it on', 'admin true', m.admin_option)) as v (how, options, present)
where m.member in (select oid from pg_catalog.pg_roles join ours on ours.name = rolname) and not v.present
union all
select 'role ' || r.rolname, v.attribute, format('alter role %I %s', r.rolname, v.attribute)
from pg_catalog.pg_roles r join ours on ours.name = r.rolname
cross join lateral (values ('superuser', r.rolsuper), ('bypassrls', r.rolbypassrls), ('createrole', r.rolcreaterole), ('createdb', r.rolcreatedb),
  ('replication', r.rolreplication), ('login', r.rolcanlogin)) as v (attribute, present)
where not v.present
union all
-- Settings that only superusers write, but for whom they are granted to.
select 'parameter ' || p.parname, format('%s to %s', v.privilege, o.role), format('grant %s on parameter %I to %I', v.privilege, p.parname, o.role)
from (select parname from pg_catalog.pg_parameter_acl union values ('session_replication_role'), ('log_statement')) as p
cross join (values ('set'), ('alter system')) as v (privilege) cross join outsiders o
where not has_parameter_privilege(o.role, p.parname, v.privilege)
union all
select 'role ' || o.role, 'stored setting ' || v.setting, format('alter role %I set %s', o.role, v.setting)
from outsiders o cross join (values ('row_security = off'), ('search_path = public'), ('role = ''rowhouse_owner''')) as v (setting)
