-- id: 0044
-- name: tenant_column_missing
-- level: error
-- fix: hand
-- title: A table in app has no tenant
-- why: `app` holds tenant data. A table without a tenant cannot be protected, exported, erased or moved with its tenant.

select t.name as object,
  'every table in app belongs to tenants: add tenant_id and protect it, or move what is the same for all to another schema' as detail,
  format('alter table %s add column tenant_id tenancy.tenant_id not null;', t.name) as remedy,
  jsonb_build_object('relation', t.name) as metadata
from tables t
where t.schema = 'app' and not t.is_partition and t.tenant_column is null
