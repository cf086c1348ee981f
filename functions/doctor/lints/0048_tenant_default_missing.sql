-- id: 0048
-- name: tenant_default_missing
-- level: warning
-- fix: migration
-- title: tenant_id has no default
-- why: Clients then have to send it, and every insert of a function has to name it: one more place to be wrong.

select t.name as object,
  format('its default is %s', coalesce(c.default_value, 'missing')) as detail,
  format('alter table %s alter column tenant_id set default request.tenant_id();', t.name) as remedy,
  jsonb_build_object('relation', t.name) as metadata
from tables t
join columns c on c.relation = t.oid and c.attnum = t.tenant_attnum
where t.is_tenant_data and not t.is_partition and c.default_value is distinct from '(request.tenant_id())::tenancy.tenant_id'
  and c.default_value is distinct from 'request.tenant_id()'
