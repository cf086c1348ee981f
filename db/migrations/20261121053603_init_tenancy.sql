-- migrate:up
set local lock_timeout = '3s';
set local search_path = '';

--@ domain tenancy.tenant_id
create domain tenancy.tenant_id as text collate "C"
  constraint tenant_id_form check (value ~ '^t_[a-z0-9][a-z0-9_]{0,46}$');
comment on domain tenancy.tenant_id is '`t_`, then 1 to 47 of a-z, 0-9 and _, the first one a letter or digit.';
grant usage on domain tenancy.tenant_id to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;

--@ table tenancy.plans
create table tenancy.plans (
  tier text collate "C" not null,
  job_concurrency integer not null,
  description text not null,
  constraint plans_pkey primary key (tier),
  constraint plans_job_concurrency_positive check (job_concurrency > 0)
);
comment on table tenancy.plans is 'What a tenant of each tier may use at once.';
comment on column tenancy.plans.job_concurrency is 'Jobs of one tenant that run at the same time.';
grant select on tenancy.plans to rowhouse_worker, operator;

--@ data tenancy.plans
insert into tenancy.plans (tier, job_concurrency, description) values
  ('free', 1, 'One job at a time'),
  ('standard', 2, 'Two jobs at a time'),
  ('enterprise', 8, 'Eight jobs at a time');

--@ table tenancy.retired_ids
create table tenancy.retired_ids (
  id tenancy.tenant_id not null,
  retired_at timestamptz not null default now(),
  constraint retired_ids_pkey primary key (id)
);
comment on table tenancy.retired_ids is
  'Ids of tenants that were deleted. They are never given again: rows that a deletion left behind would be the new tenant''s.';

--@ table tenancy.tenants
create table tenancy.tenants (
  id tenancy.tenant_id not null,
  slug text collate "C" not null,
  name text not null,
  tier text collate "C" not null default 'standard',
  region text collate "C" not null default 'default',
  status text collate "C" not null default 'active',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint tenants_pkey primary key (id),
  constraint tenants_slug_key unique (slug),
  constraint tenants_slug_form check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  constraint tenants_name_length check (length(name) between 1 and 200),
  constraint tenants_region_form check (region ~ '^[a-z0-9-]{1,40}$'),
  constraint tenants_status_known check (status in ('active', 'suspended')),
  constraint tenants_tier_fkey foreign key (tier) references tenancy.plans (tier) on delete restrict
);
create index tenants_tier_idx on tenancy.tenants (tier);
create index tenants_created_at_idx on tenancy.tenants (created_at desc, id desc);
comment on table tenancy.tenants is 'The directory: one row for each tenant. Metadata, never what a tenant stores.';
comment on column tenancy.tenants.slug is 'The tenant''s name in addresses: a DNS label.';
comment on column tenancy.tenants.tier is 'The plan that the tenant is on.';
comment on column tenancy.tenants.status is 'A suspended tenant is refused at the gate, whatever its tokens say.';
alter table tenancy.tenants enable row level security;
alter table tenancy.tenants force row level security;
-- Its keys do not lead with a tenant, so conditions on them run before any policy and tell that a row exists. Clients and operators
-- reach it through functions that check first: v1.tenant, admin.tenants.
grant select on tenancy.tenants to rowhouse_sealer, rowhouse_dispatcher;

--@ policy "Gate and dispatcher look up any tenant" on tenancy.tenants
create policy "Gate and dispatcher look up any tenant" on tenancy.tenants
  for select to rowhouse_sealer, rowhouse_dispatcher using (true);

--@ policy "The directory functions keep tenants" on tenancy.tenants
create policy "The directory functions keep tenants" on tenancy.tenants
  for all to rowhouse_owner using (true) with check (true);

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ drop policy "The directory functions keep tenants" on tenancy.tenants
-- ACCESS EXCLUSIVE on tenancy.tenants until commit.
drop policy "The directory functions keep tenants" on tenancy.tenants;

--@ drop policy "Gate and dispatcher look up any tenant" on tenancy.tenants
-- ACCESS EXCLUSIVE on tenancy.tenants until commit.
drop policy "Gate and dispatcher look up any tenant" on tenancy.tenants;

--@ drop table tenancy.tenants
drop table tenancy.tenants;

--@ drop table tenancy.retired_ids
drop table tenancy.retired_ids;

--@ drop data tenancy.plans
-- The rows go with their table.

--@ drop table tenancy.plans
drop table tenancy.plans;

--@ drop domain tenancy.tenant_id
drop domain tenancy.tenant_id;
