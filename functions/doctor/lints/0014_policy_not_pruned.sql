-- id: 0014
-- name: policy_not_pruned
-- level: warning
-- fix: migration
-- title: A policy opens every partition
-- why: Only the plain comparison prunes partitions when the statement starts. Without it, all of them are opened and looked
--   at.

select distinct c.name as object,
  'add: and tenant_id = request.tenant_id()' as detail,
  c.sealing as remedy,
  jsonb_build_object('relation', c.table_name) as metadata
from conditions c
where c.permissive and not c.is_check and c.is_tenant_data and c.guarded and not c.pruned
