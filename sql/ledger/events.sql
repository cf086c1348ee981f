--@ function ledger.event_type(text,text)
create function ledger.event_type(table_name text, operation text)
returns text
language sql
immutable
security invoker
parallel safe
return case operation
  when 'emit' then table_name when 'insert' then table_name || '.inserted'
  when 'update' then table_name || '.updated' when 'delete' then table_name || '.deleted' else table_name || '.' || operation end;
comment on function ledger.event_type(text, text) is 'The type of an entry''s event. What is emitted has its type where others have their table.';
grant execute on function ledger.event_type(text, text) to tenant_user, rowhouse_dispatcher;

--@ function ledger.picked(jsonb,text[])
create function ledger.picked(body jsonb, columns text[])
returns jsonb
language sql
immutable
strict
security invoker
set search_path = ''
parallel safe
begin atomic
  select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(body) where key = any (columns);
end;
comment on function ledger.picked(jsonb, text[]) is 'A row with these columns alone.';
grant execute on function ledger.picked(jsonb, text[]) to tenant_user, rowhouse_dispatcher;

--@ function ledger.shown(jsonb,text[])
create function ledger.shown(body jsonb, columns text[])
returns jsonb
language sql
immutable
security invoker
parallel safe
-- By what may be shown, never by what is hidden: old entries have columns that nobody remembers. Mostly that is all of them.
return case when body - columns = '{}' then body else ledger.picked(body, columns) end;
comment on function ledger.shown(jsonb, text[]) is 'ledger.picked(), and cheaper: the planner inlines it.';
grant execute on function ledger.shown(jsonb, text[]) to tenant_user, rowhouse_dispatcher;

--@ function ledger.earlier_columns(text[],bigint[],bigint)
create function ledger.earlier_columns(columns text[], shown_after bigint[], "position" bigint)
returns text[]
language sql
immutable
security invoker
set search_path = ''
parallel safe
begin atomic
  select coalesce(array_agg(c.name), '{}') from unnest(columns, shown_after) as c (name, after) where c.after < "position";
end;
comment on function ledger.earlier_columns(text[], bigint[], bigint) is 'Part of ledger.columns_at(): those of an entry from before some were added.';
grant execute on function ledger.earlier_columns(text[], bigint[], bigint) to tenant_user, rowhouse_dispatcher;

--@ function ledger.columns_at(text[],bigint[],bigint)
create function ledger.columns_at(columns text[], shown_after bigint[], "position" bigint)
returns text[]
language sql
immutable
security invoker
parallel safe
return case when "position" > all (shown_after) then columns else ledger.earlier_columns(columns, shown_after, "position") end;
comment on function ledger.columns_at(text[], bigint[], bigint) is
  'The columns that the entry of a position shows (ledger.event_sources). The planner inlines it, since it has no sub-select.';
grant execute on function ledger.columns_at(text[], bigint[], bigint) to tenant_user, rowhouse_dispatcher;

--@ function ledger.earlier_version(bigint[],bigint)
create function ledger.earlier_version(begins_after bigint[], "position" bigint)
returns integer
language sql
immutable
security invoker
set search_path = ''
parallel safe
begin atomic
  select coalesce(max(b.version), 0)::integer from unnest(begins_after) with ordinality as b (after, version) where b.after < "position";
end;
comment on function ledger.earlier_version(bigint[], bigint) is 'Part of ledger.version_at(): that of an entry from before the last one began.';
grant execute on function ledger.earlier_version(bigint[], bigint) to tenant_user, rowhouse_dispatcher;

--@ function ledger.version_at(bigint[],bigint)
create function ledger.version_at(begins_after bigint[], "position" bigint)
returns integer
language sql
immutable
security invoker
parallel safe
return case when "position" > all (begins_after) then cardinality(begins_after) else ledger.earlier_version(begins_after, "position") end;
comment on function ledger.version_at(bigint[], bigint) is
  'Which version of its type the entry of a position is of (ledger.event_sources); 0: it is from before the type was declared. The planner '
  'inlines it, since it has no sub-select.';
grant execute on function ledger.version_at(bigint[], bigint) to tenant_user, rowhouse_dispatcher;

--@ function ledger.trace_parent(text,bigint)
create function ledger.trace_parent(trace_id text, "position" bigint)
returns text
language sql
immutable
security invoker
parallel safe
return case when trace_id ~ '^[0-9a-f]{32}$' and trace_id <> repeat('0', 32)
  then '00-' || trace_id || '-' || lpad(to_hex(position), 16, '0') || '-01' end;
comment on function ledger.trace_parent(text, bigint) is 'W3C Trace Context of what follows from an entry: the request''s trace, the entry as the parent.';
grant execute on function ledger.trace_parent(text, bigint) to tenant_user, rowhouse_dispatcher;

--@ view ledger.events
-- Sub-selects, not joins: pages are read in the order of an index, and a generic plan might hash the registry and sort a million rows.
create view ledger.events with (security_invoker = true) as
  select e.tenant_id::text, e.position, e.slot, 'evt_' || e.position as id, ledger.event_type(e.table_name, e.operation) as type, e.row_id as subject, e.occurred_at as "time", e.subject as actor, e.table_name as source,
    coalesce((select s.least_role from ledger.sources as s where s.name = e.table_name), 'viewer') as read_role,
    jsonb_strip_nulls(jsonb_build_object(
      'specversion', '1.0', 'id', 'evt_' || e.position, 'source', '/tenants/' || e.tenant_id, 'type', ledger.event_type(e.table_name, e.operation), 'subject', e.row_id,
      'time', to_char(e.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'datacontenttype', 'application/json',
      'tenantid', e.tenant_id, 'actorid', e.subject, 'traceparent', ledger.trace_parent(e.trace_id, e.position)))
    || case when e.operation = 'emit' then jsonb_build_object('data', e.new) else '{}' end
    || coalesce((
      select jsonb_build_object('dataschema', 'rowhouse:/v1/event-types/' || ledger.event_type(e.table_name, e.operation) || '/' || s.version)
        || case when e.operation = 'emit' then '{}' else jsonb_build_object('data', jsonb_build_object(
          'old', ledger.shown(e.old, s.columns), 'new', ledger.shown(e.new, s.columns),
          'changed', to_jsonb(case when not e.changed <@ s.columns
            then array(select c from unnest(e.changed) as c where c = any (s.columns)) else e.changed end))) end
      from (
        select ledger.version_at(s.begins_after, e.position) as version, ledger.columns_at(s.columns, s.shown_after, e.position) as columns
        from ledger.event_sources as s where s.name = e.table_name and e.position > s.begins_after[1] offset 0) as s), '{}') as event
  from ledger.entries as e
  where e.operation = 'emit' or e.table_name in (select s.name from ledger.event_sources as s where s.relation is not null);
comment on view ledger.events is
  'The one maker of events: entries as CloudEvents 1.0, for whoever may read the entries. Not each entry is an event: only those of '
  'ledger.event_sources, and what was emitted. event costs nothing where it is not selected.';
grant select on ledger.events to rowhouse_dispatcher;

--@ function ledger.readable_sources()
create function ledger.readable_sources()
returns text[]
language sql
stable
security invoker
parallel safe
return array(select s.name from ledger.sources as s where request.has_tenant_role(s.least_role));
comment on function ledger.readable_sources() is 'The tables and declared types whose events the sealed member may see.';
grant execute on function ledger.readable_sources() to tenant_user;

--@ function ledger.declared_sources()
create function ledger.declared_sources()
returns text[]
language sql
stable
security invoker
parallel safe
return array(select name from ledger.event_sources);
comment on function ledger.declared_sources() is 'The tables that make events, and the emitted types that were declared.';
grant execute on function ledger.declared_sources() to tenant_user;

--@ policy "A member reads the rows of their tenant" on ledger.entries
-- The policy that protect() made, and what happened to what the member may read. Not a restrictive policy beside it: PostgreSQL
-- evaluates those before, so that the tenant would be no index condition any more, and a page of 50 would read the whole partition.
drop policy "A member reads the rows of their tenant" on ledger.entries;
create policy "A member reads the rows of their tenant" on ledger.entries
  for select to tenant_user
  using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()
    and (select request.has_tenant_role('viewer'))
    -- A type that nobody has declared is every viewer's.
    and (table_name = any ((select ledger.readable_sources())::text[])
      or (operation = 'emit' and table_name <> all ((select ledger.declared_sources())::text[]))));

--@ grants ledger.events
-- No USAGE on the schema: clients name nothing here, v1.events does. Which token, address and program it was is in no event.
grant select on ledger.events to tenant_user;
grant select (tenant_id, position, slot, occurred_at, table_name, operation, row_id, changed, old, new, subject, trace_id)
  on ledger.entries to tenant_user;
