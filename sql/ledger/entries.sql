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
grant execute on function ledger.slot(text) to rowhouse_dispatcher;

create table ledger.entries (
  tenant_id tenancy.tenant_id not null,
  position bigint not null default nextval('ledger.positions'),
  slot smallint not null,
  transaction_id xid8 not null default pg_current_xact_id(),
  occurred_at timestamptz not null default clock_timestamp(),
  table_name text collate "C" not null,
  operation text collate "C" not null,
  row_id text,
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
  leads boolean not null default true,
  constraint entries_pkey primary key (tenant_id, position)
) partition by hash (tenant_id);
-- No checks: PostgreSQL reads and prepares those anew in each statement, an eighth of what the ledger costs an insert. The policy below is
-- prepared with the plan.
-- No index by type, time or row: each costs a bulk insert 10 to 20 %, and who reads events asks for those behind a position. Who searches among
-- millions builds one (docs/events.md).
comment on table ledger.entries is 'Every change of tenant data: who, what, when, where, before and after. Append-only for everyone.';
comment on column ledger.entries.position is 'Order within the tenant: drawn while the changed rows were locked.';
-- Not generated: PostgreSQL would prepare the expression anew in each statement, 23 µs, a third of what the ledger costs an insert.
comment on column ledger.entries.slot is 'ledger.slot(tenant_id).';
comment on column ledger.entries.table_name is 'The table; of what was emitted, the type of the event.';
comment on column ledger.entries.row_id is 'The primary key without the tenant; a JSON array where it has several columns. The subject of what was emitted.';
comment on column ledger.entries.transaction_id is $$The transaction that wrote it.
@sample "3"$$;
comment on column ledger.entries.occurred_at is 'When its position was drawn: later ones have later times (ledger.position_at).';
comment on column ledger.entries.leads is $$Each statement has at least one for each of its tenants, which says to followers what all of them do.
@sample "true"$$;
comment on column ledger.entries.address is 'From X-Forwarded-For: what the edge saw, or what a client that went past it claims.';
select tenancy.protect('ledger.entries', partitions => 16, ledger => false);

-- This index does not lead with the tenant: the dispatcher reads a slot's tenants together, in order.
create index entries_dispatch_idx on ledger.entries (slot, position);

-- Nor does this one: what transactions have committed since a snapshot, of whichever tenant (ledger.changes_after). One entry says as much
-- as all those of its statement and tenant, which would cost a bulk insert an eighth more.
create index entries_follow_idx on ledger.entries (transaction_id) where leads;

--@ policy "The ledger's functions append" on ledger.entries
create policy "The ledger's functions append" on ledger.entries
  for insert to rowhouse_owner with check (operation in ('insert', 'update', 'delete', 'emit') and slot = ledger.slot(tenant_id));

-- Append-only for the owner, too, who could otherwise truncate it.
revoke update, delete, truncate on ledger.entries from rowhouse_owner;
grant select on ledger.entries, ledger.positions to rowhouse_dispatcher;
grant update on ledger.positions to rowhouse_dispatcher; -- ledger.recognise_history()

--@ policy "The dispatcher reads every tenant" on ledger.entries
create policy "The dispatcher reads every tenant" on ledger.entries
  for select to rowhouse_dispatcher using (true);

--@ data ledger.positions
-- From here on last_value is a position that was drawn, which the dispatcher's arithmetic relies on.
select nextval('ledger.positions');
