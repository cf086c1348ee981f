--@ view v1.tenant
create view v1.tenant with (security_invoker = true) as
  select id, slug, name, tier, region, status, created_at, updated_at from tenancy.tenants where id = request.tenant_id();
comment on view v1.tenant is $$Your tenant

One row. Its owner can change the name.$$;
grant select, update (name) on v1.tenant to tenant_user;

--@ function v1.whoami()
create function v1.whoami()
returns json
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  select json_build_object('tenant_id', request.tenant_id(), 'subject', request.subject(), 'role', request.tenant_role());
end;
comment on function v1.whoami() is $$Who am I

The tenant, subject and role that the database sealed this request for.$$;
grant execute on function v1.whoami() to tenant_user;
