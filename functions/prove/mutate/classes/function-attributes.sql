-- class: function attribute

select 'function ' || f.name as element, v.how, v.sql, f.definition || coalesce('; ' || v.more_undo, '') as undo, v.reason
from functions f
cross join lateral (
  select exists (select from outsiders o where has_function_privilege(o.role, f.oid, 'execute')) as reached
) as known
cross join lateral (
  select 'runs with its owner''s rights' as how, format('alter function %s security definer', f.name) as sql, null as more_undo,
    case when not known.reached and not f.is_trigger then 'nobody but its owner calls it, whose rights it has already' end as reason
  where not f.prosecdef
  union all
  select 'runs with its caller''s rights', format('alter function %s security invoker', f.name), null,
    case when not known.reached and not f.is_trigger then 'nobody but its owner calls it, whose rights it has already' end
  where f.prosecdef
  union all
  select 'search_path not pinned', format('alter function %s reset search_path', f.name), null,
    case when f.prosqlbody is not null and not f.prosecdef then 'its body was parsed when it was made: a path changes nothing that it means' end
  where exists (select from unnest(f.proconfig) as s where s ~ '^search_path=')
  union all
  select 'search_path of the caller''s choice', format('alter function %s set search_path = public, pg_temp', f.name), null, null
  where f.prosecdef
  union all
  -- Called by a policy, it would run for every row, and after what the caller asks for.
  select 'volatile', format('alter function %s volatile', f.name), null, null
  where f.provolatile <> 'v' and exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_policy'::regclass
    and d.refclassid = 'pg_catalog.pg_proc'::regclass and d.refobjid = f.oid)
  union all
  select 'leakproof', format('alter function %s leakproof', f.name), null, null where not f.proleakproof and not f.is_trigger
  union all
  select 'execute to ' || c.grantee, format('grant execute on function %s to %s', f.name, c.grantee),
    format('revoke execute on function %s from %s', f.name, c.grantee), null
  from clients c
  where case when c.role is null then not exists (select from aclexplode(f.proacl) g where g.grantee = 0)
    else not has_function_privilege(c.role, f.oid, 'execute') end
) as v
