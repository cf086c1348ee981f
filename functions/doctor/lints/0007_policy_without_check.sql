-- id: 0007
-- name: policy_without_check
-- level: error
-- fix: migration
-- title: A policy checks no new rows
-- why: For inserts it means that every row is accepted, another tenant's too. For updates the `using` is taken instead, until
--   somebody changes it for reading.

select p.name as object,
  case p.command when 'a' then 'rows of any tenant can be inserted' else 'what a row may become is left to the condition for reading it' end as detail,
  case when p.qual is null then p.sealing else format('alter policy %s with check (%s);', p.name, p.qual) end as remedy,
  jsonb_build_object('relation', p.table_name) as metadata
from policies p
where p.permissive and p.command in ('a', 'w', '*') and p.with_check is null
