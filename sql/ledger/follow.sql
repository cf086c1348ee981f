--@ table tenancy.directory_changes
create table tenancy.directory_changes (
  transaction_id xid8 not null default pg_current_xact_id(),
  table_name text collate "C" not null,
  changed_at timestamptz not null default now()
);
create index directory_changes_follow_idx on tenancy.directory_changes (transaction_id);
comment on table tenancy.directory_changes is
  'That something which belongs to no tenant has changed: edges forget what they know of all. An hour of them is kept.';
grant select on tenancy.directory_changes to rowhouse_dispatcher;

--@ function tenancy.note_directory_change()
create function tenancy.note_directory_change()
returns trigger
language plpgsql
volatile
security definer -- whoever may change a key or an operator may not write here
set search_path = ''
parallel unsafe
as $$
begin
  insert into tenancy.directory_changes (table_name) values (format('%I.%I', tg_table_schema, tg_table_name));
  delete from tenancy.directory_changes where changed_at < now() - '1 hour'::interval;
  return null;
end
$$;
comment on function tenancy.note_directory_change() is 'Statement trigger: tells the followers of the ledger what the ledger does not hold.';

--@ trigger note_directory_change on tenancy.tenants
create trigger note_directory_change after insert or update or delete or truncate on tenancy.tenants
  for each statement execute function tenancy.note_directory_change();

--@ trigger note_directory_change on tenancy.plans
create trigger note_directory_change after insert or update or delete or truncate on tenancy.plans
  for each statement execute function tenancy.note_directory_change();

--@ trigger note_directory_change on tenancy.domains
create trigger note_directory_change after insert or update or delete or truncate on tenancy.domains
  for each statement execute function tenancy.note_directory_change();

--@ trigger note_directory_change on tenancy.pools
create trigger note_directory_change after insert or update or delete or truncate on tenancy.pools
  for each statement execute function tenancy.note_directory_change();

--@ trigger note_directory_change on auth.signing_keys
create trigger note_directory_change after insert or update or delete or truncate on auth.signing_keys
  for each statement execute function tenancy.note_directory_change();

--@ trigger note_directory_change on auth.operators
create trigger note_directory_change after insert or update or delete or truncate on auth.operators
  for each statement execute function tenancy.note_directory_change();

--@ function ledger.changes_after(pg_snapshot)
set role rowhouse_dispatcher;
create function ledger.changes_after(seen pg_snapshot)
returns table (snapshot pg_snapshot, tenant_id text, table_name text)
language plpgsql
stable
security definer -- reads that rows of any tenant have changed, never what is in them
set search_path = ''
-- Planning 16 partitions each time costs four times as much as reading them. The generic plan guesses that a third of all entries
-- are new, so it has to be kept from reading them all.
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
begin
  return query select pg_current_snapshot(), null::text, null::text;
  if pg_current_snapshot()::text = seen::text then
    return;
  end if;
  -- What committed in between: transactions that began after that snapshot, and those that it saw running and that have ended.
  return query
    select null::pg_snapshot, changed.tenant_id, changed.table_name
    from (
      select tenant_id::text, table_name from ledger.entries where leads and transaction_id >= pg_snapshot_xmax(seen)
      union
      select null, table_name from tenancy.directory_changes where transaction_id >= pg_snapshot_xmax(seen)
      union
      select entry.tenant_id::text, entry.table_name
      from pg_snapshot_xip(seen) as running
      join ledger.entries as entry on entry.leads and entry.transaction_id = running
      where pg_visible_in_snapshot(running, pg_current_snapshot())
      union
      select null, entry.table_name
      from pg_snapshot_xip(seen) as running
      join tenancy.directory_changes as entry on entry.transaction_id = running
      where pg_visible_in_snapshot(running, pg_current_snapshot())
    ) as changed;
end
$$;
comment on function ledger.changes_after(pg_snapshot) is
  'The first row is this statement''s snapshot; the others say which tables of which tenants have changed, visibly now, since the '
  'snapshot `seen`; the tenant is null for what belongs to none. Exact: nothing that committed in between is missing, whatever '
  'ran at the time.';
grant execute on function ledger.changes_after(pg_snapshot) to rowhouse_edge;
set role rowhouse_owner;
