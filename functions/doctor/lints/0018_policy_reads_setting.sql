-- id: 0018
-- name: policy_reads_setting
-- level: error
-- fix: migration
-- title: A policy reads a setting
-- why: Whoever runs SQL, by an injection too, can set such a setting to anything. Only the sealed accessors read one that its
--   reader cannot write.

select p.name as object,
  'what it reads can be written by the session that it guards against' as detail,
  p.sealing as remedy,
  jsonb_build_object('relation', p.table_name) as metadata
from policies p
where concat(p.qual, p.with_check) ~ 'current_setting\(|pg_settings'
