-- class: default privilege

select format('%s of %s', v.objects, m.role) as element, format('%s to %s', v.privilege, c.grantee) as how,
  format('alter default privileges for role %I grant %s on %s to %s', m.role, v.privilege, v.objects, c.grantee) as sql,
  format('alter default privileges for role %I revoke %s on %s from %s', m.role, v.privilege, v.objects, c.grantee) as undo
from (select distinct owner::regrole::text as role from relations union select distinct proowner::regrole::text from functions) as m
cross join (values ('execute', 'functions'), ('select', 'tables'), ('insert', 'tables'), ('update', 'tables'), ('delete', 'tables'),
  ('usage', 'sequences'), ('usage', 'schemas')) as v (privilege, objects)
cross join clients c
union all
select 'types of ' || d.defaclrole::regrole, 'usage to public',
  format('alter default privileges for role %s grant usage on types to public', d.defaclrole::regrole),
  format('alter default privileges for role %s revoke usage on types from public', d.defaclrole::regrole)
from pg_catalog.pg_default_acl d where d.defaclobjtype = 'T' and d.defaclnamespace = 0
