--@ function admin.set_tenant_settings(text,jsonb)
create function admin.set_tenant_settings(id text, settings jsonb)
returns jsonb
language plpgsql
volatile
security definer -- operators hold no grant on the directory
set search_path = ''
parallel unsafe
as $$
declare
  stored tenancy.tenant_settings;
  problem text;
begin
  perform auth.require_operator();
  if not exists (select from tenancy.tenants where tenants.id = set_tenant_settings.id) then
    perform request.raise_error('tenant_unknown');
  end if;
  insert into tenancy.tenant_settings (tenant_id) values (set_tenant_settings.id) on conflict do nothing;
  select * into strict stored from tenancy.tenant_settings as s where s.tenant_id = set_tenant_settings.id for update;
  select name into problem from jsonb_object_keys(settings) as name
  where name in ('tenant_id', 'updated_at') or not to_jsonb(stored) ? name limit 1;
  if found then
    perform request.raise_error('tenant_invalid', format('no setting is called %s', problem), 'the settings are what this function returns');
  end if;
  stored := jsonb_populate_record(stored, settings);
  update tenancy.tenant_settings as s set (
    read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst, rate_shadow, rate_weighted,
    request_concurrency, queue_length, queue_wait, statement_timeout, cache_bytes, open_streams, cache_enabled, uncached_relations,
    cors_origins, pool
  ) = (
    stored.read_rate, stored.read_burst, stored.write_rate, stored.write_burst, stored.expensive_rate,
    stored.expensive_burst, stored.rate_shadow, stored.rate_weighted, stored.request_concurrency,
    stored.queue_length, stored.queue_wait, stored.statement_timeout, stored.cache_bytes, stored.open_streams, stored.cache_enabled,
    stored.uncached_relations, stored.cors_origins, stored.pool
  ) where s.tenant_id = set_tenant_settings.id;
  return to_jsonb(stored) - 'tenant_id' - 'updated_at';
exception
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics problem = constraint_name;
    perform request.raise_error('tenant_invalid', format('%s does not hold', coalesce(nullif(problem, ''), 'the type of a value')));
end
$$;
comment on function admin.set_tenant_settings(text, jsonb) is $$Set a tenant's settings

Changes the members that are given and returns them all; null gives a setting that plans have back to the plan. Edges follow within half a second.$$;
grant execute on function admin.set_tenant_settings(text, jsonb) to operator;
