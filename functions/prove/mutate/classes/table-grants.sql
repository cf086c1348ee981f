-- class: table grant

select r.name as element, format('%s to %s', verbs.verb, c.grantee) as how,
  format('grant %s on table %s to %s', verbs.verb, r.name, c.grantee)
    || coalesce('; ' || format('grant %s on table ', verbs.verb) || base.names || ' to ' || c.grantee, '') as sql,
  format('revoke %s on table %s from %s', verbs.verb, r.name, c.grantee)
    || coalesce('; ' || format('revoke %s on table ', verbs.verb) || base.names || ' from ' || c.grantee, '') as undo,
  case when c.role = 'tenant_user' and r.kind = 'v' and has_table_privilege('tenant_user', r.oid, 'select') and verbs.verb in ('insert', 'update', 'delete')
    then r.name end as author
from relations r
cross join clients c
cross join (values ('select'), ('insert'), ('update'), ('delete'), ('truncate')) as verbs (verb)
-- A view that asks with its reader's rights opens nothing alone: the tables beneath are granted as well.
cross join lateral (
  select string_agg(b.base::regclass::text, ', ') as names from beneath b where b.view = r.oid and r.options @> '{security_invoker=true}'
    and not coalesce(has_table_privilege(c.role, b.base, verbs.verb), false)
) as base
where not coalesce(has_table_privilege(c.role, r.oid, verbs.verb), false)
  and not (r.kind = 'v' and verbs.verb = 'truncate')
  and not (r.is_partition and verbs.verb in ('insert', 'update', 'truncate')) -- as good as the two that are left
  -- A grant on top of column grants would be taken back together with them.
  and not exists (
    select from pg_catalog.pg_attribute a, aclexplode(a.attacl) g
    where a.attrelid = r.oid and g.grantee = coalesce(to_regrole(c.role), 0) and lower(g.privilege_type) = verbs.verb)
union all
-- Logins by themselves: their passwords may be out as well.
select r.name, format('%s to %s', verbs.verb, s.role), format('grant %s on table %s to %s', verbs.verb, r.name, s.role),
  format('revoke %s on table %s from %s', verbs.verb, r.name, s.role), r.name
from relations r
cross join services s
cross join (values ('select'), ('insert'), ('update'), ('delete'), ('truncate')) as verbs (verb)
where r.kind in ('r', 'p') and not r.is_partition and not has_any_column_privilege(s.role, r.oid, case when verbs.verb in ('select', 'insert', 'update') then verbs.verb else 'references' end)
  and not has_table_privilege(s.role, r.oid, verbs.verb)
