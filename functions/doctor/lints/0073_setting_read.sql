-- id: 0073
-- name: setting_read
-- level: error
-- fix: hand
-- title: Code reads a setting that its caller may write
-- why: Any session can set `request.jwt.claims` or `app.tenant`. Who takes authority from it, takes it from the caller.
--   `request` is the only reader, and of the seal alone.

select distinct format('%s reads %s', source.name, coalesce(found.setting[2], 'a computed setting')) as object,
  'its caller may have written what it reads' as detail,
  source.remedy,
  jsonb_build_object('name', source.name, 'setting', found.setting[2]) as metadata
from (
  select f.name, f.code, coalesce((select string_agg(format('revoke execute on function %s from %I;', f.name, r.name), ' ' order by r.name)
      from privileges p join runtime r on r.oid = p.grantee where p.kind = 'function' and p.oid = f.oid),
    format('drop function if exists %s;', f.name)) as remedy
  from functions f
  union all
  select r.name, pg_get_viewdef(r.oid), format('drop %s if exists %s;', case r.kind when 'v' then 'view' else 'materialized view' end, r.name)
  from relations r where r.kind in ('v', 'm')
  union all
  select format('%s.%s', c.relation_name, c.name), c.default_value, format('alter table %s alter column %I drop default;', c.relation_name, c.name)
  from columns c where c.default_value ~ 'current_setting' and not c.is_partition
  union all
  select t.oid::regtype::text, t.typdefault, format('alter domain %s drop default;', t.oid::regtype)
  from pg_catalog.pg_type t join schemas s on s.oid = t.typnamespace where t.typtype = 'd'
  union all
  select format('%I on %s', c.conname, coalesce(r.name, c.contypid::regtype::text)), pg_get_constraintdef(c.oid),
    format('alter %s %s drop constraint %I;', case when r.name is null then 'domain' else 'table' end, coalesce(r.name, c.contypid::regtype::text), c.conname)
  from pg_catalog.pg_constraint c left join relations r on r.oid = c.conrelid
  left join pg_catalog.pg_type t on t.oid = c.contypid left join schemas s on s.oid = t.typnamespace
  where c.contype = 'c' and c.conparentid = 0 and coalesce(r.oid, s.oid) is not null and r.is_partition is not true
) as source
cross join lateral regexp_matches(source.code, 'current_setting\s*\(\s*(''([^'']*)''|[^'',)][^,)]*)', 'gi') as found (setting)
where found.setting[2] is distinct from 'transaction_isolation'
