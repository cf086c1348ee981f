-- class: owner

-- An owner's grants become part of its ownership, and do not come back with the old owner: no undo is exact, so none is committed.
select o.kind || ' ' || o.name as element, 'tenant_user' as how, format('alter %s %s owner to tenant_user', o.kind, o.name) as sql
from (
  select case kind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end as kind, name from relations
  union all
  select 'function', name from functions
  union all
  select 'schema', quote_ident(n.nspname) from pg_catalog.pg_namespace n join schemas s on s.oid = n.oid
  union all
  select 'sequence', q.name from sequences q where not exists (
    select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = q.oid and d.deptype = 'i')
  union all
  select 'domain', t.oid::regtype::text from pg_catalog.pg_type t join schemas s on s.oid = t.typnamespace where t.typtype = 'd'
) as o
