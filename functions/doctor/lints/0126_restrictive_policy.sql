-- id: 0126
-- name: restrictive_policy
-- level: warning
-- fix: hand
-- title: A restrictive policy comes before the tenant
-- why: PostgreSQL applies restrictive policies first, and the tenant then row by row: it finds no index, and every statement
--   reads the rows of all tenants of the partition.

select p.name as object,
  'it is applied before the permissive policies, which hold the tenant' as detail,
  case
    when made.read_role is null or made.write_role is null or p.roles <> array[to_regrole('tenant_user')::oid] then narrowed.remedy
    when p.command = 'r' and asked.role is not null then
      format('drop policy %s; drop policy "A member reads the rows of their tenant" on %s; ', p.name, p.table_name)
      || case when asked.writer <> made.write_role then made.writers else '' end
      || format('select tenancy.protect(%L, ledger => %s, read_role => %L, write_role => %L%s);', p.table_name, made.has_ledger,
        asked.role, asked.writer, ', write_condition => ' || quote_literal(made.write_condition))
    when alike.verbs = 3 then
      alike.drops || made.writers
      || format('select tenancy.protect(%L, ledger => %s, read_role => %L, write_role => %L, write_condition => %L);', p.table_name,
        made.has_ledger, made.read_role, made.write_role, concat(made.write_condition || ' and ', coalesce(p.qual, p.with_check)))
    else narrowed.remedy
  end as remedy,
  jsonb_build_object('relation', p.table_name) as metadata
from policies p
-- What tenancy.protect() was asked for.
cross join lateral (
  select substring(max(m.qual) filter (where m.command = 'r'), 'has_tenant_role\(''(\w+)''') as read_role,
    substring(max(m.with_check) filter (where m.command = 'a'), 'has_tenant_role\(''(\w+)''') as write_role,
    substring(max(m.with_check) filter (where m.command = 'a'),
      '^\(\(\(tenant_id\)::text = \( SELECT request\.tenant_id\(\) AS tenant_id\)\) AND \( SELECT request\.has_tenant_role\(''\w+''::text\) AS has_tenant_role\) AND (.*)\)$'
    ) as write_condition,
    string_agg(format('drop policy %s; ', m.name), '' order by m.name) filter (where m.command <> 'r') as writers,
    exists (select from pg_catalog.pg_trigger where tgrelid = p.relation and tgname = 'ledger_delete')::text as has_ledger
  from policies m
  where m.relation = p.relation and m.permissive and m.name ~ '^"A (member reads the|writer (adds|changes|deletes)) rows (of|to) their tenant" '
) as made
-- The role that this one asks of readers, and of writers then: who changes a row has to find it.
cross join lateral (
  select role[1] as role, case when array_position(ranks, made.write_role) < array_position(ranks, role[1]) then role[1] else made.write_role end as writer
  from (values (array['viewer', 'member', 'admin', 'owner'])) as known (ranks)
  left join lateral regexp_match(p.qual, '^\( SELECT request\.has_tenant_role\(''(\w+)''::text\) AS has_tenant_role\)$') as role on true
) as asked
-- The same for each verb that writes.
cross join lateral (
  select count(distinct q.command) as verbs, string_agg(format('drop policy %s; ', q.name), '' order by q.name) as drops
  from policies q
  where q.relation = p.relation and not q.permissive and q.roles = p.roles and q.command in ('a', 'w', 'd') and p.command in ('a', 'w', 'd')
    and coalesce(q.qual, q.with_check) = coalesce(p.qual, p.with_check) and coalesce(q.with_check, q.qual) = coalesce(p.qual, p.with_check)
) as alike
-- Anything else becomes part of each permissive policy that it narrows. Repeated, protect() would refuse these.
cross join lateral (
  select format('drop policy %s; ', p.name) || coalesce(string_agg(format('alter policy %s%s%s;', m.name,
    case when m.qual is not null then format(' using (%s)', concat_ws(' and ', m.qual, p.qual)) else '' end,
    case when coalesce(m.with_check, m.qual) is not null and m.command in ('a', 'w', '*')
      then format(' with check (%s)', concat_ws(' and ', coalesce(m.with_check, m.qual), coalesce(p.with_check, p.qual))) else '' end),
    ' ' order by m.name), '') as remedy
  from policies m
  where m.relation = p.relation and m.permissive and (m.command = p.command or '*' in (m.command, p.command)) and (m.roles && p.roles or 0 = any (m.roles || p.roles))
) as narrowed
where not p.permissive and p.is_tenant_data and not p.is_partition -- of those, 0004 speaks
  and exists (select from runtime r where r.oid = any (p.roles) or 0 = any (p.roles))
