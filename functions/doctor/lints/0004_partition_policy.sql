-- id: 0004
-- name: partition_policy
-- level: error
-- fix: migration
-- title: A partition has a policy of its own
-- why: A partition without policies denies everything to whoever names it. A policy opens that door, and nobody looks for it
--   there.

select p.name as object,
  'partitions are reached through their parent, whose policies apply' as detail,
  format('drop policy if exists %s;', p.name) as remedy,
  jsonb_build_object('relation', p.table_name) as metadata
from policies p
where p.is_partition
