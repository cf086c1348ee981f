--@ table tenancy.members
create table tenancy.members (
  tenant_id tenancy.tenant_id not null,
  user_id text not null,
  role text collate "C" not null default 'member',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint members_pkey primary key (tenant_id, user_id),
  constraint members_user_id_length check (length(user_id) between 1 and 200),
  constraint members_role_known check (tenancy.role_rank(role) is not null),
  constraint members_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade
) partition by hash (tenant_id);
comment on table tenancy.members is 'Who belongs to the tenant, and as what: viewer, member, admin or owner.';
comment on column tenancy.members.user_id is 'The subject of the user''s tokens.';
comment on column tenancy.members.role is 'viewer reads; member also writes files and jobs; admin also manages members; owner everything of the tenant.';
-- One partition: the gate looks here on every request, and a generic plan locks every partition that there is.
-- Owners are an owner's to add, change and remove.
select tenancy.protect('tenancy.members', partitions => 1, expose => true, write_role => 'admin',
  write_condition => $$role <> 'owner' or (select request.has_tenant_role('owner'))$$);
grant select on tenancy.members to rowhouse_sealer;

--@ policy "The gate looks up any membership" on tenancy.members
create policy "The gate looks up any membership" on tenancy.members
  for select to rowhouse_sealer using (true);

--@ policy "The directory functions keep members" on tenancy.members
create policy "The directory functions keep members" on tenancy.members
  for all to rowhouse_owner using (true) with check (true);

--@ function tenancy.keep_an_owner()
create function tenancy.keep_an_owner()
returns trigger
language plpgsql
volatile
security definer -- locks the tenant's row, which members may not
set search_path = ''
parallel unsafe
as $$
declare
  touched text;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    -- An older snapshot would not see the owner that another transaction has just removed.
    raise exception using errcode = 'active_sql_transaction', message = 'owners are changed in isolation level read committed';
  end if;
  for touched in select distinct tenant_id from old_rows where role = 'owner' order by 1 loop
    -- Two owners who remove each other at the same moment take turns here.
    perform from tenancy.tenants where id = touched for no key update;
    if found and not exists (select from tenancy.members where tenant_id = touched and role = 'owner') then
      perform request.raise_error('owner_required', 'the last owner cannot leave or step down', 'make another member owner first');
    end if;
  end loop;
  return null;
end
$$;
comment on function tenancy.keep_an_owner() is 'A tenant without an owner could never get one again. Raises owner_required.';

--@ trigger keep_an_owner_update on tenancy.members
create trigger keep_an_owner_update after update on tenancy.members
  referencing old table as old_rows for each statement execute function tenancy.keep_an_owner();

--@ trigger keep_an_owner_delete on tenancy.members
create trigger keep_an_owner_delete after delete on tenancy.members
  referencing old table as old_rows for each statement execute function tenancy.keep_an_owner();
