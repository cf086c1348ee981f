--@ table ledger.entries
-- One sequence for all tenants of this server: a tenant's order is its own positions, and a tenant that moves to another
-- server takes its positions along.
create sequence ledger.positions as bigint cache 1;

create function ledger.slot(tenant_id text)
returns smallint
language sql
immutable
security invoker
parallel safe
return (pg_catalog.hashtextextended(tenant_id, 0) & 15)::smallint;
comment on function ledger.slot(text) is 'Which of the 16 dispatch slots a tenant''s entries go through.';

create table ledger.entries (
  tenant_id tenancy.tenant_id not null,
  position bigint not null default nextval('ledger.positions'),
  slot smallint not null,
  transaction_id xid8 not null default pg_current_xact_id(),
  occurred_at timestamptz not null default clock_timestamp(),
  table_name text collate "C" not null,
  operation text collate "C" not null,
  row_id text not null,
  changed text[],
  old jsonb,
  new jsonb,
  subject text,
  role text collate "C",
  token_id text collate "C",
  address inet,
  user_agent text,
  request_id text,
  trace_id text collate "C",
  constraint entries_pkey primary key (tenant_id, position),
  constraint entries_operation_known check (operation in ('insert', 'update', 'delete')),
  -- ledger.slot(), written out: a function would be prepared anew in each statement, 11 µs, this takes 3.
  constraint entries_slot_of_tenant check (slot = (hashtextextended(tenant_id, 0) & 15))
) partition by hash (tenant_id);
comment on table ledger.entries is 'Every change of tenant data: who, what, when, where, before and after. Append-only for everyone.';
comment on column ledger.entries.position is 'Order within the tenant: drawn while the changed rows were locked.';
-- Not generated: PostgreSQL would prepare the expression anew in each statement, 23 µs, a third of what the ledger costs an insert.
comment on column ledger.entries.slot is 'ledger.slot(tenant_id).';
comment on column ledger.entries.row_id is 'The primary key without the tenant; a JSON array where it has several columns.';
comment on column ledger.entries.address is 'From X-Forwarded-For: what the edge saw, or what a client that went past it claims.';
select tenancy.protect('ledger.entries', partitions => 16, ledger => false);

-- This index does not lead with the tenant: the dispatcher reads a slot's tenants together, in order.
create index entries_dispatch_idx on ledger.entries (slot, position);

-- Nor does this one: what transactions have committed since a snapshot, of whichever tenant (ledger.changes_after).
create index entries_follow_idx on ledger.entries (transaction_id);

--@ policy "The ledger's functions append" on ledger.entries
create policy "The ledger's functions append" on ledger.entries
  for insert to rowhouse_owner with check (true);

-- Append-only for the owner, too, who could otherwise truncate it.
revoke update, delete, truncate on ledger.entries from rowhouse_owner;
grant select on ledger.entries, ledger.positions to rowhouse_dispatcher;

--@ policy "The dispatcher reads every tenant" on ledger.entries
create policy "The dispatcher reads every tenant" on ledger.entries
  for select to rowhouse_dispatcher using (true);

--@ table ledger.consumers
create table ledger.consumers (
  consumer text collate "C" not null,
  tables text[] not null,
  constraint consumers_pkey primary key (consumer)
);
comment on table ledger.consumers is 'Who follows the ledger, and the tables whose entries it is given.';
grant select on ledger.consumers to rowhouse_dispatcher;

--@ table ledger.cursors
create table ledger.cursors (
  consumer text collate "C" not null,
  slot smallint not null,
  position bigint not null default 0,
  updated_at timestamptz not null default now(),
  constraint cursors_pkey primary key (consumer, slot),
  constraint cursors_consumer_fkey foreign key (consumer) references ledger.consumers (consumer) on delete cascade,
  constraint cursors_slot_range check (slot between 0 and 15),
  constraint cursors_position_not_negative check (position >= 0)
) with (fillfactor = 50); -- every advance is a HOT update
comment on table ledger.cursors is 'How far each consumer has followed the ledger, slot by slot. Consumers share work by locking rows.';
grant select, update on ledger.cursors to rowhouse_dispatcher;

--@ data ledger.cursors
insert into ledger.consumers (consumer, tables) values ('jobs', '{app.jobs,app.files}');
insert into ledger.cursors (consumer, slot) select 'jobs', generate_series(0, 15);
-- From here on last_value is a position that was drawn, which the dispatcher's arithmetic relies on.
select nextval('ledger.positions');
