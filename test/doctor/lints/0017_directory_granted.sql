-- expects: tenancy.tenants for tenant_user
-- flaw
grant select on tenancy.tenants to tenant_user;
create policy "A member sees their own tenant" on tenancy.tenants for select to tenant_user
  using ((select request.tenant_id()) = any (array[id::text]) and id = request.tenant_id());
-- fixed
revoke select on tenancy.tenants from tenant_user;
