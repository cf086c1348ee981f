--@ domain tenancy.tenant_id
create domain tenancy.tenant_id as text collate "C"
  constraint tenant_id_form check (octet_length(value) <= 49 and value ~ '^t_[a-z0-9][a-z0-9_]*$');
-- The length apart: a bounded repetition in the expression costs 1.4 µs a value more.
comment on domain tenancy.tenant_id is '`t_`, then 1 to 47 of a-z, 0-9 and _, the first one a letter or digit.';
grant usage on domain tenancy.tenant_id to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;

--@ table tenancy.plans
create table tenancy.plans (
  tier text collate "C" not null,
  job_concurrency integer not null,
  description text not null,
  read_rate integer not null,
  read_burst integer not null,
  write_rate integer not null,
  write_burst integer not null,
  expensive_rate integer not null,
  expensive_burst integer not null,
  request_concurrency integer not null,
  queue_length integer not null,
  queue_wait interval not null,
  statement_timeout interval not null,
  cache_bytes bigint not null,
  open_streams integer not null default 100,
  job_schedules integer not null default 50,
  webhook_endpoints integer not null default 20,
  delivery_concurrency integer not null default 32,
  delivery_weight integer not null default 2,
  pool text collate "C",
  constraint plans_pkey primary key (tier),
  constraint plans_job_concurrency_positive check (job_concurrency > 0),
  constraint plans_rates_positive check (least(read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst) > 0),
  constraint plans_requests_positive check (request_concurrency > 0 and queue_length >= 0),
  constraint plans_queue_wait_range check (queue_wait between '0' and '1 minute'),
  constraint plans_statement_timeout_range check (statement_timeout between '10 ms' and '1 hour'),
  constraint plans_cache_bytes_not_negative check (cache_bytes >= 0),
  constraint plans_open_streams_not_negative check (open_streams >= 0),
  constraint plans_job_schedules_not_negative check (job_schedules >= 0),
  constraint plans_webhooks_positive check (webhook_endpoints >= 0 and delivery_concurrency > 0 and delivery_weight > 0)
);
comment on table tenancy.plans is 'What a tenant of each tier may use. tenancy.tenant_settings has the exceptions.';
comment on column tenancy.plans.job_concurrency is 'Jobs of one type of one tenant that run at the same time, over all workers.';
comment on column tenancy.plans.read_rate is 'Tokens that the tenant''s bucket gains each second: GET and HEAD.';
comment on column tenancy.plans.read_burst is 'Tokens that the bucket holds.';
comment on column tenancy.plans.write_rate is 'As read_rate, for requests that write.';
comment on column tenancy.plans.expensive_rate is 'As read_rate, for function calls and exact counts.';
comment on column tenancy.plans.request_concurrency is 'Requests of one tenant that one edge has in flight at the same time.';
comment on column tenancy.plans.queue_length is 'Requests that wait for one of those, for at most queue_wait.';
comment on column tenancy.plans.statement_timeout is 'How long one statement of a request may run.';
comment on column tenancy.plans.cache_bytes is 'What one edge keeps of the tenant''s answers.';
comment on column tenancy.plans.open_streams is 'Streams of events that one edge keeps open for the tenant.';
comment on column tenancy.plans.job_schedules is 'Schedules that a tenant may have.';
comment on column tenancy.plans.webhook_endpoints is 'Webhook endpoints that a tenant may have.';
comment on column tenancy.plans.delivery_concurrency is
  'Deliveries of one tenant that one worker has under way at the same time: N workers, up to N times as many, beside its jobs.';
comment on column tenancy.plans.delivery_weight is 'The tenant''s share of a worker''s deliveries while there are more than it can have under way.';
comment on column tenancy.plans.pool is 'The pool of tenancy.pools that the tier is served from; null for the shared ones.';
grant select on tenancy.plans to rowhouse_worker, operator;

--@ data tenancy.plans
insert into tenancy.plans (tier, job_concurrency, description, read_rate, read_burst, write_rate, write_burst,
  expensive_rate, expensive_burst, request_concurrency, queue_length, queue_wait, statement_timeout, cache_bytes)
values
  ('free', 1, 'One job at a time, 50 reads a second', 50, 100, 10, 20, 5, 10, 2, 16, '2 s', '5 s', 1048576),
  ('standard', 2, 'Two jobs at a time, 500 reads a second', 500, 1000, 100, 200, 50, 100, 4, 64, '2 s', '10 s', 8388608),
  ('enterprise', 8, 'Eight jobs at a time, 5,000 reads a second', 5000, 10000, 1000, 2000, 500, 1000, 8, 256, '2 s', '15 s', 67108864);
update tenancy.plans set open_streams = case tier when 'free' then 10 when 'enterprise' then 2000 else 100 end;
update tenancy.plans set job_schedules = case tier when 'free' then 5 when 'enterprise' then 500 else 50 end;
update tenancy.plans set
  webhook_endpoints = case tier when 'free' then 5 when 'enterprise' then 200 else 20 end,
  delivery_concurrency = case tier when 'free' then 8 when 'enterprise' then 64 else 32 end,
  delivery_weight = case tier when 'free' then 1 when 'enterprise' then 4 else 2 end;

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
  statement_timeout_ms integer not null default 10000,
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
comment on column tenancy.tenants.statement_timeout_ms is
  'As the tenant''s settings or else its plan say: kept here by triggers (tenancy/settings.sql), so that the gate finds it in the row that it reads anyway.';
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
