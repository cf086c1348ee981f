-- id: 0008
-- name: policy_always_true
-- level: error
-- fix: migration
-- title: A policy holds for every row
-- why: The policy switches the wall off for that role, on that table. Permissive policies are joined with OR: one is enough.

select distinct c.name as object,
  format('its condition is %s: rows of every tenant', c.expression) as detail,
  c.sealing as remedy,
  jsonb_build_object('relation', c.table_name) as metadata
from conditions c
where c.permissive and c.expression ~ '^true$|\mtrue OR\M|\mOR true\M|\((\d+) = \1\)'
  and (0 = any (c.roles) or exists (select from runtime r where r.oid = any (c.roles)))
