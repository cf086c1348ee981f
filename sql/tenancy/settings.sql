--@ table tenancy.tenant_settings
create table tenancy.tenant_settings (
  tenant_id tenancy.tenant_id not null,
  read_rate integer,
  read_burst integer,
  write_rate integer,
  write_burst integer,
  expensive_rate integer,
  expensive_burst integer,
  rate_shadow boolean not null default false,
  rate_weighted boolean not null default false,
  request_concurrency integer,
  queue_length integer,
  queue_wait interval,
  statement_timeout interval,
  cache_bytes bigint,
  open_streams integer,
  cache_enabled boolean not null default true,
  uncached_relations text[] not null default '{}',
  cors_origins text[] not null default '{}',
  pool text collate "C",
  updated_at timestamptz not null default now(),
  constraint tenant_settings_pkey primary key (tenant_id),
  constraint tenant_settings_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
  constraint tenant_settings_rates_positive
    check (least(read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst) > 0),
  constraint tenant_settings_requests_positive check (request_concurrency > 0 and queue_length >= 0),
  constraint tenant_settings_queue_wait_range check (queue_wait between '0' and '1 minute'),
  constraint tenant_settings_statement_timeout_range check (statement_timeout between '10 ms' and '1 hour'),
  constraint tenant_settings_cache_bytes_not_negative check (cache_bytes >= 0),
  constraint tenant_settings_open_streams_not_negative check (open_streams >= 0),
  constraint tenant_settings_cors_origins_form check (
    array_to_string(cors_origins, ' ', '?') ~ '^(https?://[A-Za-z0-9.:-]+( https?://[A-Za-z0-9.:-]+)*)?$')
) partition by hash (tenant_id);
comment on table tenancy.tenant_settings is 'Where one tenant differs from its plan. Null: as the plan says.';
comment on column tenancy.tenant_settings.rate_shadow is 'Limits are counted and logged, and let everything through.';
comment on column tenancy.tenant_settings.rate_weighted is 'A large answer costs more than one token.';
comment on column tenancy.tenant_settings.uncached_relations is 'Relations of v1 whose rows edges do not keep.';
comment on column tenancy.tenant_settings.cors_origins is 'Origins whose pages may call the API for this tenant.';
-- One partition: there is at most one row for each tenant, and whoever lists settings reads all.
select tenancy.protect('tenancy.tenant_settings', partitions => 1);

--@ policy "The directory functions keep settings" on tenancy.tenant_settings
create policy "The directory functions keep settings" on tenancy.tenant_settings
  for all to rowhouse_owner using (true) with check (true);

--@ function tenancy.statement_timeout_ms(text,text)
create function tenancy.statement_timeout_ms(tenant_id text, tier text)
returns integer
language sql
volatile -- a snapshot of its own: whoever waited for the tenant's row sees what was changed meanwhile
security invoker
parallel unsafe
begin atomic
  select (date_part('epoch', coalesce(own.statement_timeout, plan.statement_timeout)) * 1000)::integer
  from tenancy.plans as plan
  left join tenancy.tenant_settings as own on own.tenant_id = statement_timeout_ms.tenant_id
  where plan.tier = statement_timeout_ms.tier;
end;
comment on function tenancy.statement_timeout_ms(text, text) is 'How long a statement of a tenant may run: its own setting, or its plan''s.';

--@ function tenancy.take_statement_timeout()
create function tenancy.take_statement_timeout()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  -- Who changes the plan meanwhile would not see this tenant: either waits for the other here.
  perform from tenancy.plans where tier = new.tier for share;
  -- An unknown tier is the foreign key's to refuse.
  new.statement_timeout_ms := coalesce(tenancy.statement_timeout_ms(new.id, new.tier), new.statement_timeout_ms);
  return new;
end
$$;
comment on function tenancy.take_statement_timeout() is 'Keeps tenants.statement_timeout_ms true when a tenant is made or changes its tier.';

--@ trigger take_statement_timeout on tenancy.tenants
create trigger take_statement_timeout before insert or update of tier, statement_timeout_ms on tenancy.tenants
  for each row execute function tenancy.take_statement_timeout();

--@ function tenancy.give_plans_timeout()
create function tenancy.give_plans_timeout()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  -- One statement, for the tenants whose value changes. For 10,000 of them 0.7 s of CPU and 10,000 entries in the ledger; to ask, 0.05 s.
  update tenancy.tenants set statement_timeout_ms = tenancy.statement_timeout_ms(id, tier)
  where tier = new.tier and statement_timeout_ms <> tenancy.statement_timeout_ms(id, tier);
  return null;
end
$$;
comment on function tenancy.give_plans_timeout() is 'Keeps tenants.statement_timeout_ms true when a plan changes.';

--@ trigger give_plans_timeout on tenancy.plans
create trigger give_plans_timeout after update of statement_timeout on tenancy.plans
  for each row execute function tenancy.give_plans_timeout();

--@ function tenancy.give_own_timeout()
create function tenancy.give_own_timeout()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  if old.statement_timeout is not distinct from new.statement_timeout and (tg_op <> 'UPDATE' or old.tenant_id = new.tenant_id) then
    return null;
  end if;
  -- The plan before the tenant, as who changes the plan locks them. And written even where the value stays: who moves the tenant to another
  -- plan at the same time has not seen this setting yet, and waits here, or is waited for.
  perform from tenancy.plans where tier in (select tier from tenancy.tenants where id in (old.tenant_id, new.tenant_id)) for share;
  update tenancy.tenants set statement_timeout_ms = tenancy.statement_timeout_ms(id, tier) where id in (old.tenant_id, new.tenant_id);
  return null;
end
$$;
comment on function tenancy.give_own_timeout() is 'Keeps tenants.statement_timeout_ms true when a tenant''s own setting changes.';

--@ trigger give_own_timeout on tenancy.tenant_settings
create trigger give_own_timeout after insert or update or delete on tenancy.tenant_settings
  for each row execute function tenancy.give_own_timeout();

--@ table tenancy.domains
create table tenancy.domains (
  host text collate "C" not null,
  tenant_id tenancy.tenant_id not null,
  created_at timestamptz not null default now(),
  constraint domains_pkey primary key (host),
  constraint domains_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
  constraint domains_host_form check (
    host ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' and length(host) <= 253)
);
create index domains_tenant_idx on tenancy.domains (tenant_id);
comment on table tenancy.domains is 'Hosts of a tenant''s own: a request that comes by one has to have that tenant''s token.';
alter table tenancy.domains enable row level security;
alter table tenancy.domains force row level security;

--@ policy "The directory functions keep domains" on tenancy.domains
create policy "The directory functions keep domains" on tenancy.domains
  for all to rowhouse_owner using (true) with check (true);

--@ function tenancy.settings_of(text)
create function tenancy.settings_of(tenant_id text)
returns jsonb
language sql
stable
security definer -- the edge holds no grant on the directory
set search_path = ''
parallel safe
begin atomic
  select jsonb_build_object(
    'tenantId', t.id, 'slug', t.slug, 'status', t.status, 'tier', t.tier,
    'limits', jsonb_build_object(
      'read', jsonb_build_object('rate', coalesce(s.read_rate, p.read_rate), 'burst', coalesce(s.read_burst, p.read_burst)),
      'write', jsonb_build_object('rate', coalesce(s.write_rate, p.write_rate), 'burst', coalesce(s.write_burst, p.write_burst)),
      'expensive', jsonb_build_object(
        'rate', coalesce(s.expensive_rate, p.expensive_rate), 'burst', coalesce(s.expensive_burst, p.expensive_burst))),
    'shadow', coalesce(s.rate_shadow, false),
    'weighted', coalesce(s.rate_weighted, false),
    'concurrency', coalesce(s.request_concurrency, p.request_concurrency),
    'queue', coalesce(s.queue_length, p.queue_length),
    'queueMs', extract(epoch from coalesce(s.queue_wait, p.queue_wait)) * 1000,
    'statementTimeoutMs', extract(epoch from coalesce(s.statement_timeout, p.statement_timeout)) * 1000,
    'cacheBytes', coalesce(s.cache_bytes, p.cache_bytes),
    'openStreams', coalesce(s.open_streams, p.open_streams),
    'cacheEnabled', coalesce(s.cache_enabled, true),
    'uncachedTables', to_jsonb(coalesce(s.uncached_relations, '{}')),
    'corsOrigins', to_jsonb(coalesce(s.cors_origins, '{}')),
    'pool', coalesce(s.pool, p.pool))
  from tenancy.tenants as t
  join tenancy.plans as p on p.tier = t.tier
  left join tenancy.tenant_settings as s on s.tenant_id = t.id
  where t.id = settings_of.tenant_id;
end;
comment on function tenancy.settings_of(text) is
  'What an edge has to know of a tenant: its plan with the tenant''s own settings over it. Null where there is no such tenant.';
grant execute on function tenancy.settings_of(text) to rowhouse_edge;

--@ function tenancy.tenant_of_host(text,text)
create function tenancy.tenant_of_host(asked_host text, label text)
returns text
language sql
stable
security definer -- the edge holds no grant on the directory
set search_path = ''
parallel safe
begin atomic
  select coalesce(
    (select tenant_id from tenancy.domains where host = asked_host),
    (select id from tenancy.tenants where slug = label));
end;
comment on function tenancy.tenant_of_host(text, text) is
  'The tenant whose own domain a host is, or whose slug its first label is; null for neither. label: null outside the tenants'' domain.';
grant execute on function tenancy.tenant_of_host(text, text) to rowhouse_edge;
