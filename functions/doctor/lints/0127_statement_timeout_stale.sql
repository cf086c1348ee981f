-- id: 0127
-- name: statement_timeout_stale
-- level: warning
-- fix: migration
-- needs: tenancy.tenants.statement_timeout_ms
-- title: A tenant's statements run on another limit than its plan's
-- why: The gate takes the limit from the tenant's row, where triggers keep it. Where they were off, or were passed by, statements
--   run longer than the tenant's setting or plan allows, or end too soon.

select t.id::text as object,
  format('%s ms, and its setting or plan says %s', t.statement_timeout_ms, wanted.ms) as detail,
  format('update tenancy.tenants set statement_timeout_ms = %s where id = %L;', wanted.ms, t.id) as remedy,
  jsonb_build_object('tenant', t.id, 'has', t.statement_timeout_ms, 'wanted', wanted.ms) as metadata
from tenancy.tenants t
join tenancy.plans p on p.tier = t.tier
left join tenancy.tenant_settings s on s.tenant_id = t.id
cross join lateral (select (date_part('epoch', coalesce(s.statement_timeout, p.statement_timeout)) * 1000)::integer) as wanted (ms)
where t.statement_timeout_ms <> wanted.ms
