-- id: 0045
-- name: tenant_column_nullable
-- level: error
-- fix: migration
-- title: tenant_id can be null
-- why: A row without a tenant is nobody's: no policy shows it, no export or erasure finds it, and a composite foreign key
--   with a null is not checked at all.

select t.name as object,
  'rows without a tenant can be written' as detail,
  format('alter table %s alter column tenant_id set not null;', t.name) as remedy,
  jsonb_build_object('relation', t.name) as metadata
from tables t
where t.is_tenant_data and not t.is_partition and not t.tenant_not_null
