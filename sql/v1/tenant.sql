--@ function tenancy.own_tenant()
create function tenancy.own_tenant()
returns setof tenancy.tenants
language plpgsql
stable
security definer -- clients hold no grant on the directory
rows 1
set search_path = ''
parallel safe
as $$
declare
  own text := request.tenant_id();
begin
  -- As the policies of every other view ask: a service's token opens none of them.
  if request.has_tenant_role('viewer') then
    return query select * from tenancy.tenants where id = own;
  end if;
end
$$;
comment on function tenancy.own_tenant() is 'The sealed tenant''s row of the directory. Raises tenant_required.';
grant execute on function tenancy.own_tenant() to tenant_user;

--@ view v1.tenant
create view v1.tenant with (security_invoker = true) as
  select id, slug, name, tier, region, status, created_at, updated_at from tenancy.own_tenant();
comment on view v1.tenant is $$Your tenant

One row. Its owner can change the name.$$;
comment on column v1.tenant.slug is 'The tenant''s name in addresses: a DNS label.';
comment on column v1.tenant.tier is 'The plan that the tenant is on.';
grant select, update (name) on v1.tenant to tenant_user;

--@ data v1.tenant
select ledger.add_event_source('tenancy.tenants', 'v1.tenant', 'viewer', '{id,slug,name,tier,region,status,created_at,updated_at}');

--@ function tenancy.rename_tenant()
create function tenancy.rename_tenant()
returns trigger
language plpgsql
volatile
security definer -- clients hold no grant on the directory
set search_path = ''
parallel unsafe
as $$
begin
  if not request.has_tenant_role('owner') then
    perform request.raise_error('role_insufficient', 'only an owner renames the tenant');
  end if;
  update tenancy.tenants set name = new.name where id = request.tenant_id() returning updated_at into new.updated_at;
  return new;
end
$$;
comment on function tenancy.rename_tenant() is 'What an update of v1.tenant does. Raises role_insufficient.';

--@ trigger rename_tenant on v1.tenant
create trigger rename_tenant instead of update on v1.tenant
  for each row execute function tenancy.rename_tenant();

--@ function v1.whoami()
create function v1.whoami()
returns json
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  select json_build_object('tenant_id', request.tenant_id(), 'subject', request.subject(), 'tenant_role', request.tenant_role());
end;
comment on function v1.whoami() is $$Who am I

The tenant, subject and role that the database sealed this request for.$$;
grant execute on function v1.whoami() to tenant_user;
