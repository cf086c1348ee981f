-- expects: "Only an owner removes an owner" on tenancy.members
-- flaw
alter policy "Only an owner removes an owner" on tenancy.members using (role <> 'owner' or request.has_tenant_role('owner'));
-- fixed
alter policy "Only an owner removes an owner" on tenancy.members using (role <> 'owner' or (select request.has_tenant_role('owner')));
