-- id: 0006
-- name: policy_missing
-- level: warning
-- fix: hand
-- title: A grant has no policy
-- why: It fails closed, and silently: reads are empty, changes touch nothing, and a later policy for something else may open
--   more than was meant.

select format('%s for %s (%s)', t.name, r.rolname, lower(g.verb)) as object,
  'the grant is there, and no policy for it: every row is hidden' as detail,
  case when t.tenant_column is null then format('revoke %s on table %s from %I;', lower(g.verb), t.name, r.rolname)
    else format('create policy %I on %s for %s to %I', format('%s may %s rows of its tenant', r.rolname, lower(g.verb)), t.name, lower(g.verb), r.rolname)
      || case when g.verb <> 'INSERT' then format(' using (%s)', t.own_rows) else '' end
      || case when g.verb in ('INSERT', 'UPDATE') then format(' with check (%s)', t.own_rows) else '' end || ';'
  end as remedy,
  jsonb_build_object('relation', t.name, 'role', r.rolname, 'verb', lower(g.verb)) as metadata
from (
  select distinct p.oid, p.grantee, split_part(p.privilege, ' ', 1) as verb
  from privileges p where p.kind in ('relation', 'column')
) as g
join (values ('SELECT', 'r'), ('INSERT', 'a'), ('UPDATE', 'w'), ('DELETE', 'd')) as verbs (verb, command) on verbs.verb = g.verb
join tables t on t.oid = g.oid and t.has_rls and not t.is_partition
join pg_catalog.pg_roles r on r.oid = g.grantee and r.rolname <> 'anon'
where not exists (
  select from policies p
  where p.relation = g.oid and p.permissive and p.command in ('*', verbs.command::"char")
    and (g.grantee = any (p.roles) or 0 = any (p.roles)))
