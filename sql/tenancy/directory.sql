--@ function tenancy.retire_id()
create function tenancy.retire_id()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  insert into tenancy.retired_ids (id) values (old.id);
  return null;
end
$$;
comment on function tenancy.retire_id() is 'Keeps a deleted tenant''s id from being given again.';

--@ trigger retire_id on tenancy.tenants
create trigger retire_id after delete on tenancy.tenants for each row execute function tenancy.retire_id();

--@ trigger touch on tenancy.tenants
create trigger touch before update on tenancy.tenants for each row execute function tenancy.touch();

--@ function tenancy.create_tenant(text,text,text,text,text,text)
create function tenancy.create_tenant(
  id text, slug text, name text, owner_subject text, tier text default 'standard', region text default 'default')
returns tenancy.tenants
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  created tenancy.tenants;
  problem text;
begin
  if exists (select from tenancy.retired_ids as retired where retired.id = create_tenant.id) then
    perform request.raise_error('tenant_exists', format('id %s was a tenant''s and is not given again', id), 'choose another id');
  end if;
  insert into tenancy.tenants (id, slug, name, tier, region)
  values (create_tenant.id, create_tenant.slug, create_tenant.name, create_tenant.tier, create_tenant.region)
  on conflict do nothing
  returning * into created;
  if not found then
    perform request.raise_error('tenant_exists', format('id %s or slug %s is taken', id, slug), 'choose another id and slug');
  end if;
  insert into tenancy.members (tenant_id, user_id, role) values (created.id, owner_subject, 'owner');
  return created;
exception
  when check_violation or not_null_violation or foreign_key_violation then
    get stacked diagnostics problem = constraint_name;
    perform request.raise_error('tenant_invalid', format('%s does not hold', coalesce(nullif(problem, ''), 'a required value')),
      'id: t_ and 1 to 47 of a-z 0-9 _; slug: a DNS label; name: 1 to 200 characters; tier: one of the plans; an owner');
end
$$;
comment on function tenancy.create_tenant(text, text, text, text, text, text) is
  'A new tenant with its first owner. Of several at once with the same id or slug one wins. Raises tenant_exists, tenant_invalid.';

--@ function tenancy.set_tenant_status(text,text)
create function tenancy.set_tenant_status(tenant_id text, new_status text)
returns tenancy.tenants
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  changed tenancy.tenants;
begin
  update tenancy.tenants set status = new_status where id = tenant_id returning * into changed;
  if not found then
    perform request.raise_error('tenant_unknown', format('no tenant %s', tenant_id), 'list them: rowhouse tenant list');
  end if;
  return changed;
end
$$;
comment on function tenancy.set_tenant_status(text, text) is 'What suspend_tenant() and resume_tenant() do. Raises tenant_unknown.';

--@ function tenancy.suspend_tenant(text)
create function tenancy.suspend_tenant(tenant_id text)
returns tenancy.tenants
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
return tenancy.set_tenant_status(tenant_id, 'suspended');
comment on function tenancy.suspend_tenant(text) is 'Refuses the tenant at the gate from the next request on, whatever its tokens say. Raises tenant_unknown.';

--@ function tenancy.resume_tenant(text)
create function tenancy.resume_tenant(tenant_id text)
returns tenancy.tenants
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
return tenancy.set_tenant_status(tenant_id, 'active');
comment on function tenancy.resume_tenant(text) is 'Lets a suspended tenant in again: its tokens work as before. Raises tenant_unknown.';

--@ function tenancy.member_role(text,text)
create function tenancy.member_role(tenant_id text, user_id text)
returns text
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  select role from tenancy.members where members.tenant_id = member_role.tenant_id and members.user_id = member_role.user_id;
end;
comment on function tenancy.member_role(text, text) is 'The member''s role, null for a stranger.';
