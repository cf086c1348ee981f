-- id: 0019
-- name: policy_reads_current_user
-- level: error
-- fix: migration
-- title: A policy asks for the current user
-- why: Whoever holds the authenticator's password can take every client role, and plans that are used again across roles have
--   missed such conditions before (CVE-2024-10976).

select c.name as object,
  'the sealed role is request.role(); the database role proves nothing' as detail,
  min(c.sealing) as remedy,
  jsonb_build_object('relation', c.table_name) as metadata
from conditions c
where c.expression ~ '\m(CURRENT_USER|SESSION_USER|CURRENT_ROLE|SYSTEM_USER|USER)\M'
group by c.name, c.table_name
