-- id: 0016
-- name: policy_without_tenant_role
-- level: error
-- fix: migration
-- title: Every member of the tenant may write
-- why: Viewers, and members whose role was lowered, could write: inside their tenant, but against what its owner decided.

select distinct c.name as object,
  'a viewer passes it' as detail,
  format('alter policy %s%s%s;', c.name,
    ' using (' || nullif(c.qual, '') || ' and (select request.has_tenant_role(''member'')))',
    ' with check (' || nullif(c.with_check, '') || ' and (select request.has_tenant_role(''member'')))') as remedy,
  jsonb_build_object('relation', c.table_name) as metadata
from conditions c
where c.permissive and c.command <> 'r' and c.is_tenant_data and c.sealed and to_regrole('tenant_user') = any (c.roles)
  -- Not one that may be got round with OR, however deep.
  and not exists (select from tenant_roles asked where asked.oid = c.oid and asked.is_check = c.is_check)
