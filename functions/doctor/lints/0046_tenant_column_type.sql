-- id: 0046
-- name: tenant_column_type
-- level: error
-- fix: hand
-- title: tenant_id has another type
-- why: The domain makes names of tenants stable and comparable byte by byte. With another collation or type, indexes and
--   partitions do not fit, and a value that is no tenant's name can be stored.

select t.name as object,
  format('tenant_id is of type %s', t.tenant_type::regtype) as detail,
  format('alter table %s alter column tenant_id type tenancy.tenant_id;', t.name) as remedy,
  jsonb_build_object('relation', t.name) as metadata
from tables t
where t.is_tenant_data and not t.is_partition and t.tenant_type is distinct from to_regtype('tenancy.tenant_id')
