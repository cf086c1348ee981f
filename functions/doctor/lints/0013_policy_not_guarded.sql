-- id: 0013
-- name: policy_not_guarded
-- level: error
-- fix: migration
-- title: A policy lets the caller's conditions run first
-- why: PostgreSQL runs a leakproof condition of the caller before a policy that costs more. With one that raises an error for
--   a match, an injected select reads other tenants' cells by binary search. This test costs half an operator and stays in
--   front. Written the other way round, `tenant_id = any (array[(select …)])` or `tenant_id = (select …)` prunes while
--   running, which makes PostgreSQL 18.4 lose updates.

select c.name as object,
  'a leakproof condition of the caller may see rows before it hides them' as detail,
  c.sealing as remedy,
  jsonb_build_object('relation', c.table_name) as metadata
from conditions c
where c.permissive and not c.is_check and c.tenant_column is not null and c.sealed and not c.guarded
  and (0 = any (c.roles) or exists (select from runtime r where r.oid = any (c.roles)))
