-- migrate:up
set local lock_timeout = '3s';
set local search_path = '';

--@ schema tune
create schema tune;
comment on schema tune is 'What was made for single large tenants, and why. Nobody but the owner has anything to do here.';

--@ table tune.objects
create table tune.objects (
  id text collate "C" not null,
  tenant_id tenancy.tenant_id not null,
  kind text collate "C" not null,
  object text not null,
  partition text,
  definition text not null,
  undo text,
  status text collate "C" not null default 'building',
  reason text not null,
  before jsonb,
  after jsonb,
  created_at timestamptz not null default now(),
  measured_at timestamptz,
  constraint objects_pkey primary key (tenant_id, id),
  constraint objects_id_form check (id ~ '^(index|statistics|target|pool)-[0-9a-f]{8}$'),
  constraint objects_kind_known check (kind in ('index', 'statistics', 'target', 'pool')),
  constraint objects_status_known check (status in ('building', 'built')),
  constraint objects_built_when_measured check ((status = 'built') = (measured_at is not null))
);
comment on table tune.objects is
  'What `rowhouse tune` has made for large tenants, from before it is made until it is removed: an interrupted build is found here.';
-- No foreign key: what was made for a tenant is still there when the tenant is gone, and has to be found.
comment on column tune.objects.tenant_id is 'The tenant that it was made for.';
comment on column tune.objects.object is 'Qualified: an index, an extended statistics object, a column of a partition, a pool.';
comment on column tune.objects.undo is 'The statement that takes it back, where that is not to drop it.';
comment on column tune.objects.before is
  'Statements with placeholders, their milliseconds and rows, in a session of the tenant. Never a value: nothing that a tenant stores is here.';
alter table tune.objects enable row level security;
alter table tune.objects force row level security;

--@ policy "Only who tunes keeps a record of it" on tune.objects
create policy "Only who tunes keeps a record of it" on tune.objects
  for all to rowhouse_owner using (true) with check (true);

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ drop policy "Only who tunes keeps a record of it" on tune.objects
-- ACCESS EXCLUSIVE on tune.objects until commit.
drop policy "Only who tunes keeps a record of it" on tune.objects;

--@ drop table tune.objects
drop table tune.objects;

--@ drop schema tune
drop schema tune;
