--@ table metering.rate_buckets
-- Unlogged: a lease is one row's update with nothing to flush. After a crash every bucket is full again.
create unlogged table metering.rate_buckets (
  tenant_id tenancy.tenant_id not null,
  kind text collate "C" not null,
  units double precision not null,
  refilled_at timestamptz not null,
  constraint rate_buckets_pkey primary key (tenant_id, kind),
  constraint rate_buckets_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
  constraint rate_buckets_kind_known check (kind in ('read', 'write', 'expensive')),
  constraint rate_buckets_units_number check (units <> 'NaN')
) with (fillfactor = 50); -- so that a changed row finds room on its page, and no index is touched
comment on table metering.rate_buckets is 'The token buckets that edges lease from: one for each tenant and kind of request, made when first used.';
comment on column metering.rate_buckets.units is 'What was left at refilled_at. Below zero: used before it was leased.';
alter table metering.rate_buckets enable row level security;
alter table metering.rate_buckets force row level security;

--@ policy "Leases are made for every tenant" on metering.rate_buckets
create policy "Leases are made for every tenant" on metering.rate_buckets
  for all to rowhouse_owner using (true) with check (true);

--@ table metering.edges
create unlogged table metering.edges (
  id uuid not null,
  seen_at timestamptz not null,
  constraint edges_pkey primary key (id)
);
comment on table metering.edges is 'The edges that run, by when they were last seen: an edge that is cut off takes its share of a limit.';
