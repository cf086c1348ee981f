-- class: other grant

select 'schema ' || s.name as element, format('%s to %s', p.privilege, c.grantee) as how,
  format('grant %s on schema %I to %s', p.privilege, s.name, c.grantee) as sql,
  format('revoke %s on schema %I from %s', p.privilege, s.name, c.grantee) as undo, null as reason
from (select oid, name from schemas union all select oid, nspname from pg_catalog.pg_namespace where nspname in ('extensions', 'pgboss')) as s
cross join (select * from clients union all select role, role from services) as c
cross join (values ('usage'), ('create')) as p (privilege)
where case when c.role is null then true else not has_schema_privilege(c.role, s.oid, p.privilege) end
union all
select 'sequence ' || q.name, format('%s to %s', p.privilege, c.grantee),
  format('grant %s on sequence %s to %s', p.privilege, q.name, c.grantee),
  format('revoke %s on sequence %s from %s', p.privilege, q.name, c.grantee), null
from sequences q cross join clients c
cross join (values ('usage'), ('select'), ('update')) as p (privilege)
where not coalesce(has_sequence_privilege(c.role, q.oid, p.privilege), false)
union all
-- In the copy that it is applied in, whatever that is called.
select 'database', format('%s to %s', p.privilege, c.grantee),
  format($$do 'begin execute format(''grant %s on database %%I to %s'', current_database()); end'$$, p.privilege, c.grantee),
  format($$do 'begin execute format(''revoke %s on database %%I from %s'', current_database()); end'$$, p.privilege, c.grantee),
  case when p.privilege = 'connect' and c.role is not null then 'a role that cannot log in connects to nothing' end
from clients c cross join (values ('create'), ('temporary'), ('connect')) as p (privilege)
union all
-- What was taken from everyone: of each function of the system, one signature.
select distinct on (p.proname) 'function ' || p.oid::regprocedure, 'execute to public',
  format('grant execute on function %s to public', p.oid::regprocedure), format('revoke execute on function %s from public', p.oid::regprocedure), null
from pg_catalog.pg_proc p
where p.pronamespace = 'pg_catalog'::regnamespace and p.proacl is not null and p.proname ~ '^(lo_|lowrite|loread|pg_(try_)?advisory)'
  and not exists (select from aclexplode(p.proacl) g where g.grantee = 0)
union all
select format('%s functions of extensions', count(*)), 'execute to public', '', '',
  'nobody from outside has USAGE on the schema of extensions, without which they cannot be named; that grant is a mutant of its own'
from pg_catalog.pg_proc p
where p.pronamespace = 'extensions'::regnamespace and not exists (select from outsiders o where has_schema_privilege(o.role, p.pronamespace, 'usage'))
having count(*) > 0
