-- class: column grant

-- What clients may write of what they can reach: one column more, on the view and on the table beneath.
select format('%s.%I', r.name, a.attname) as element, format('%s to tenant_user', verbs.verb) as how,
  format('grant %s (%I) on %s to tenant_user', verbs.verb, a.attname, targets.names) as sql,
  format('revoke %s (%I) on %s from tenant_user', verbs.verb, a.attname, targets.names) as undo,
  case
    when base.generated then 'a generated column takes no value, whoever may write it'
    -- pg_trigger.h: 64 is INSTEAD OF.
    when base.names is null and not pg_column_is_updatable(r.oid, a.attnum, false)
      and not exists (select from pg_catalog.pg_trigger where tgrelid = r.oid and tgtype & 64 > 0) then 'the view makes the column itself: nothing can be written there'
  end as reason,
  case when a.attname not in ('created_at', 'updated_at', 'created_by') then r.name end as author
from relations r
join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
cross join (values ('insert'), ('update')) as verbs (verb)
cross join lateral (
  select bool_or(c.attgenerated <> '') as generated, string_agg(b.base::regclass::text, ', ') as names
  from beneath b join pg_catalog.pg_attribute c on c.attrelid = b.base and c.attname = a.attname
  where b.view = r.oid and r.options @> '{security_invoker=true}'
) as base
cross join lateral (select concat_ws(', ', r.name, base.names) as names) as targets
where r.kind = 'v' and has_schema_privilege('tenant_user', r.schema, 'usage') and has_table_privilege('tenant_user', r.oid, 'select')
  and not has_column_privilege('tenant_user', r.oid, a.attnum, verbs.verb)
union all
-- What clients may not read at all: one column of it.
select format('%s.%I', r.name, a.attname), 'select to tenant_user',
  format('grant select (%I) on %s to tenant_user', a.attname, r.name), format('revoke select (%I) on %s from tenant_user', a.attname, r.name), null, null
from relations r
join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
where r.kind <> 'v' and not r.is_partition and not has_any_column_privilege('tenant_user', r.oid, 'select')
union all
-- What a service writes of a table that it writes to: one column more.
select format('%s.%I', r.name, a.attname), format('%s to %s', verbs.verb, s.role),
  format('grant %s (%I) on %s to %s', verbs.verb, a.attname, r.name, s.role), format('revoke %s (%I) on %s from %s', verbs.verb, a.attname, r.name, s.role),
  case when a.attgenerated <> '' then 'a generated column takes no value, whoever may write it' end, r.name
from relations r
join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
cross join services s
cross join (values ('insert'), ('update')) as verbs (verb)
where r.kind in ('r', 'p') and not r.is_partition and has_any_column_privilege(s.role, r.oid, verbs.verb)
  and not has_column_privilege(s.role, r.oid, a.attnum, verbs.verb)
