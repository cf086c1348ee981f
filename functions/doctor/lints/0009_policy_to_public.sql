-- id: 0009
-- name: policy_to_public
-- level: error
-- fix: hand
-- title: A policy is for PUBLIC
-- why: Roles that were never thought of come under it: `anon`, the owner, the next service. It also costs: the condition is
--   planned for callers who need not get that far.

select p.name as object,
  'it applies to every role that there is or will be' as detail,
  format('alter policy %s to tenant_user;', p.name) as remedy,
  jsonb_build_object('relation', p.table_name) as metadata
from policies p
where 0 = any (p.roles)
