-- id: 0103
-- name: table_granted_unused
-- level: warning
-- fix: migration
-- title: A client holds grants on a table that nothing of the API uses as its caller
-- why: What only definer functions read, the hashes of keys or the answers that are kept, is meant for nobody else. With a grant, an
--   injection or a stolen password reaches the tenant's rows of it directly, past the checks of those functions.

select format('%s for %s', t.name, r.name) as object,
  'no view, policy or function that the client uses reads or writes it with the client''s rights' as detail,
  string_agg(format('revoke %s on %s from %I;', p.privilege, p.target, r.name), ' ' order by p.privilege) as remedy,
  jsonb_build_object('relation', t.name, 'role', r.name) as metadata
from tables t
join privileges p on p.oid = t.oid and p.kind in ('relation', 'column')
join runtime r on r.oid = p.grantee and r.kind = 'client' and r.name <> 'anon'
where t.is_tenant_data and not t.is_partition and not t.exposed and t.schema <> 'ledger' -- of the ledger, 0062 speaks
  and not exists (
    with recursive views as (
      select v.oid from relations v where v.kind in ('v', 'm') and v.exposed and has_any_column_privilege(r.oid, v.oid, 'select, insert, update')
      union
      select d.refobjid from views
      join pg_catalog.pg_rewrite w on w.ev_class = views.oid
      join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
        and d.refclassid = 'pg_catalog.pg_class'::regclass
    )
    select from views where views.oid = t.oid)
  and not exists (
    select from policies y
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = y.oid
      and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = t.oid
    where y.relation <> t.oid)
  and not exists (
    select from functions f
    where not f.is_definer and f.bare_code ~ format('\m%s\M', t.short_name) and (
      has_function_privilege(r.oid, f.oid, 'execute')
      or exists (select from pg_catalog.pg_trigger g where g.tgfoid = f.oid and not g.tgisinternal)))
group by t.name, r.name
