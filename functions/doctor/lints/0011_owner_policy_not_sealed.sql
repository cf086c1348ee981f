-- id: 0011
-- name: owner_policy_not_sealed
-- level: error
-- fix: migration
-- title: The owner's functions see every tenant
-- why: Security definer functions run under these policies. With this one, each of them, the ones written later too, sees
--   every tenant's rows of the table.

select c.name as object,
  'every security definer function of this owner sees all tenants here: list it as an exception if that is meant' as detail,
  min(c.sealing) as remedy,
  jsonb_build_object('relation', c.table_name) as metadata
from conditions c
where c.permissive and c.tenant_column is not null and not c.sealed
  and exists (select from known_roles k where k.kind in ('owner', 'maker') and to_regrole(k.name) = any (c.roles))
group by c.name, c.table_name
