-- migrate:up
set local lock_timeout = '3s';
set local search_path = '';

--@ function tenancy.directory()
create function tenancy.directory()
returns setof tenancy.tenants
language plpgsql
stable
security definer -- operators hold no grant on the directory
set search_path = ''
parallel safe
as $$
begin
  perform auth.require_operator();
  return query select * from tenancy.tenants;
end
$$;
comment on function tenancy.directory() is
  'Every tenant, once the sealed role is known to be operator: a policy would be one filter among the caller''s own. Raises role_insufficient.';
grant execute on function tenancy.directory() to operator;

--@ view admin.tenants
create view admin.tenants with (security_invoker = true) as
  select id, slug, name, tier, region, status, created_at, updated_at from tenancy.directory();
comment on view admin.tenants is $$Tenants

The directory: what a tenant is called and whether it may come in. Not what it stores.$$;
comment on column admin.tenants.slug is 'The tenant''s name in addresses: a DNS label.';
comment on column admin.tenants.tier is 'The plan that the tenant is on: one of admin.plans.';
comment on column admin.tenants.status is 'active or suspended';
grant select on admin.tenants to operator;

--@ view admin.plans
create view admin.plans with (security_invoker = true) as
  select tier, job_concurrency, description from tenancy.plans;
comment on view admin.plans is 'Plans';
grant select on admin.plans to operator;

--@ function admin.create_tenant(text, text, text, text, text, text)
create function admin.create_tenant(
  id text, slug text, name text, owner text, tier text default 'standard', region text default 'default')
returns setof admin.tenants
language plpgsql
volatile
security definer -- operators hold no grant on the tables: only these functions
rows 1
set search_path = ''
parallel unsafe
as $$
begin
  perform auth.require_operator();
  return query
    select t.id, t.slug, t.name, t.tier, t.region, t.status, t.created_at, t.updated_at
    from tenancy.create_tenant(create_tenant.id, create_tenant.slug, create_tenant.name, owner, create_tenant.tier, create_tenant.region) as t;
end
$$;
comment on function admin.create_tenant(text, text, text, text, text, text) is $$Create a tenant

With its first owner: the subject of that user's tokens. 409 if the id or slug is taken.$$;
grant execute on function admin.create_tenant(text, text, text, text, text, text) to operator;

--@ function admin.suspend_tenant(text)
create function admin.suspend_tenant(id text)
returns setof admin.tenants
language plpgsql
volatile
security definer -- as admin.create_tenant()
rows 1
set search_path = ''
parallel unsafe
as $$
begin
  perform auth.require_operator();
  return query
    select t.id, t.slug, t.name, t.tier, t.region, t.status, t.created_at, t.updated_at
    from tenancy.suspend_tenant(suspend_tenant.id) as t;
end
$$;
comment on function admin.suspend_tenant(text) is $$Suspend a tenant

Its requests are refused from the next one on, whatever its tokens say.$$;
grant execute on function admin.suspend_tenant(text) to operator;

--@ function admin.resume_tenant(text)
create function admin.resume_tenant(id text)
returns setof admin.tenants
language plpgsql
volatile
security definer -- as admin.create_tenant()
rows 1
set search_path = ''
parallel unsafe
as $$
begin
  perform auth.require_operator();
  return query
    select t.id, t.slug, t.name, t.tier, t.region, t.status, t.created_at, t.updated_at
    from tenancy.resume_tenant(resume_tenant.id) as t;
end
$$;
comment on function admin.resume_tenant(text) is 'Resume a suspended tenant';
grant execute on function admin.resume_tenant(text) to operator;

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ drop function admin.resume_tenant(text)
drop function admin.resume_tenant(text);

--@ drop function admin.suspend_tenant(text)
drop function admin.suspend_tenant(text);

--@ drop function admin.create_tenant(text, text, text, text, text, text)
drop function admin.create_tenant(text, text, text, text, text, text);

--@ drop view admin.plans
drop view admin.plans;

--@ drop view admin.tenants
drop view admin.tenants;

--@ drop function tenancy.directory()
drop function tenancy.directory();
