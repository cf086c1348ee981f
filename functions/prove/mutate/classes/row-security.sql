-- class: row security

select r.name as element, flag.how, format('alter table %s %s row level security', r.name, flag.off) as sql,
  format('alter table %s %s row level security', r.name, flag.restored) as undo
from relations r
cross join lateral (values
  ('switched off', 'disable', 'enable', r.has_rls), ('not forced on the owner', 'no force', 'force', r.forces_rls)
) as flag (how, off, restored, present)
where flag.present
