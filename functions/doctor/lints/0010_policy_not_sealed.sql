-- id: 0010
-- name: policy_not_sealed
-- level: error
-- fix: migration
-- title: A policy does not compare with the sealed tenant
-- why: Only the sealed accessor says which tenant the request is of. A literal, a subquery, a header, a claim or the current
--   user can be wrong, stale or forged.

select c.name as object,
  format('%s does not start with the sealed tenant, joined with AND to the rest', min(c.expression)) as detail,
  min(c.sealing) as remedy,
  jsonb_build_object('relation', c.table_name) as metadata
from conditions c
where c.permissive and not c.sealed and c.expression !~ '^true$|\mtrue OR\M|\mOR true\M|\((\d+) = \1\)'
  and (0 = any (c.roles) or exists (select from runtime r where r.oid = any (c.roles)))
group by c.name, c.table_name
