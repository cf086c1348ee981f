-- id: 0012
-- name: policy_calls_per_row
-- level: warning
-- fix: hand
-- title: A policy runs code for every row
-- why: It runs for each row that is looked at: 100 to 10,000 times slower, and partitions are no longer pruned. A volatile
--   one may also answer differently from row to row.

select p.name as object,
  'it ' || string_agg(distinct calls.what, ' and ' order by calls.what) as detail,
  p.sealing as remedy,
  jsonb_build_object('relation', p.table_name) as metadata
from policies p
cross join lateral (
  select format('calls %s (%s)', f.oid::regprocedure, case
      when f.provolatile = 'v' then 'volatile' when l.lanname <> 'sql' then l.lanname
      when f.prosecdef then 'security definer' else 'has settings of its own' end) as what
  from regexp_matches(p.tree, ':(?:op)?funcid (\d+)', 'g') as called (id)
  join pg_catalog.pg_proc f on f.oid = called.id[1]::oid
  join pg_catalog.pg_language l on l.oid = f.prolang
  where f.provolatile = 'v' or (l.lanname not in ('internal', 'c')
    and (l.lanname <> 'sql' or f.prosecdef or f.proconfig is not null))
  union all
  select 'reads another table' where p.tree ~ ':rtekind 0'
) as calls
group by p.name, p.sealing, p.table_name
