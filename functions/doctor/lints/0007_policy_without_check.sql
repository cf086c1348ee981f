-- id: 0007
-- name: policy_without_check
-- level: error
-- fix: migration
-- title: A policy checks no new rows
-- why: The `using` is taken instead, until somebody widens it for reading: then it is wide for writing too. A policy for inserts has
--   none, and allows no row.

select p.name as object,
  case p.command when 'a' then 'it allows no row' else 'what a row may become is left to the condition for reading it' end as detail,
  case when p.qual is null then p.sealing else format('alter policy %s with check (%s);', p.name, p.qual) end as remedy,
  jsonb_build_object('relation', p.table_name) as metadata
from policies p
where p.permissive and p.command in ('a', 'w', '*') and p.with_check is null
