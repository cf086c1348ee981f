-- id: 0104
-- name: policy_without_rls
-- level: error
-- fix: migration
-- title: A table has policies, and row-level security is off
-- why: The policies are there to be read, and do nothing. Whoever relies on them, and grants the table, opens every row.

select t.name as object,
  format('%s policies, none of which is asked', count(*)) as detail,
  format('alter table %s enable row level security;', t.name) as remedy,
  jsonb_build_object('relation', t.name) as metadata
from tables t
join policies p on p.relation = t.oid
where not t.has_rls and t.tenant_column is null -- of those with one, 0001 speaks
  and not exists (select from privileges g where g.oid = t.oid and g.kind in ('relation', 'column')) -- of what is granted, 0005
group by t.name
