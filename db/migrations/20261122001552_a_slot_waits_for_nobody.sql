-- migrate:up
set local lock_timeout = '3s';
set local search_path = '';

--@ drop function ledger.claim(text, integer, smallint[])
drop function ledger.claim(text, integer, smallint[]);

--@ drop function webhook.heard_entries(smallint[], bigint[], bigint[], integer, text[])
drop function webhook.heard_entries(smallint[], bigint[], bigint[], integer, text[]);

--@ drop function webhook.dispatch(integer, integer, smallint[])
drop function webhook.dispatch(integer, integer, smallint[]);

--@ drop view v1.event_types
drop view v1.event_types;

--@ run undo grants app.job_runs
-- Privileges: check by hand that no other object of the book grants the same.
revoke execute on function app.require_lease(uuid, integer), app.start_job(uuid), app.report_progress(uuid, integer, jsonb), app.record_findings(uuid, integer, jsonb), app.create_output_file(uuid, integer, text, text, text), app.finish_job(uuid, integer, text, jsonb, jsonb), app.requeue_job(uuid, integer, jsonb), app.abandon_job(uuid, jsonb), app.redrive_job(uuid, timestamptz) from rowhouse_worker;

--@ drop function app.redrive_job(uuid, timestamptz)
drop function app.redrive_job(uuid, timestamptz);

--@ drop function ledger.take(text, integer, integer)
drop function ledger.take(text, integer, integer);

--@ drop function ledger.doze(text, smallint[])
drop function ledger.doze(text, smallint[]);

--@ drop function ledger.is_behind(text, bigint, smallint[])
drop function ledger.is_behind(text, bigint, smallint[]);

--@ table tenancy.plans
comment on column tenancy.plans.job_concurrency is 'Jobs of one type of one tenant that run at the same time, over all workers.';
comment on column tenancy.plans.delivery_concurrency is 'Deliveries of one tenant that one worker has under way at the same time: N workers, up to N times as many, beside its jobs.';
--= create table tenancy.plans (
--=   tier text collate "C" not null,
--=   job_concurrency integer not null,
--=   description text not null,
--=   read_rate integer not null,
--=   read_burst integer not null,
--=   write_rate integer not null,
--=   write_burst integer not null,
--=   expensive_rate integer not null,
--=   expensive_burst integer not null,
--=   request_concurrency integer not null,
--=   queue_length integer not null,
--=   queue_wait interval not null,
--=   statement_timeout interval not null,
--=   cache_bytes bigint not null,
--=   open_streams integer not null default 100,
--=   job_schedules integer not null default 50,
--=   webhook_endpoints integer not null default 20,
--=   delivery_concurrency integer not null default 32,
--=   delivery_weight integer not null default 2,
--=   pool text collate "C",
--=   constraint plans_pkey primary key (tier),
--=   constraint plans_job_concurrency_positive check (job_concurrency > 0),
--=   constraint plans_rates_positive check (least(read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst) > 0),
--=   constraint plans_requests_positive check (request_concurrency > 0 and queue_length >= 0),
--=   constraint plans_queue_wait_range check (queue_wait between '0' and '1 minute'),
--=   constraint plans_statement_timeout_range check (statement_timeout between '10 ms' and '1 hour'),
--=   constraint plans_cache_bytes_not_negative check (cache_bytes >= 0),
--=   constraint plans_open_streams_not_negative check (open_streams >= 0),
--=   constraint plans_job_schedules_not_negative check (job_schedules >= 0),
--=   constraint plans_webhooks_positive check (webhook_endpoints >= 0 and delivery_concurrency > 0 and delivery_weight > 0)
--= );
--= comment on table tenancy.plans is 'What a tenant of each tier may use. tenancy.tenant_settings has the exceptions.';
--= comment on column tenancy.plans.job_concurrency is 'Jobs of one type of one tenant that run at the same time, over all workers.';
--= comment on column tenancy.plans.read_rate is 'Tokens that the tenant''s bucket gains each second: GET and HEAD.';
--= comment on column tenancy.plans.read_burst is 'Tokens that the bucket holds.';
--= comment on column tenancy.plans.write_rate is 'As read_rate, for requests that write.';
--= comment on column tenancy.plans.expensive_rate is 'As read_rate, for function calls and exact counts.';
--= comment on column tenancy.plans.request_concurrency is 'Requests of one tenant that one edge has in flight at the same time.';
--= comment on column tenancy.plans.queue_length is 'Requests that wait for one of those, for at most queue_wait.';
--= comment on column tenancy.plans.statement_timeout is 'How long one statement of a request may run.';
--= comment on column tenancy.plans.cache_bytes is 'What one edge keeps of the tenant''s answers.';
--= comment on column tenancy.plans.open_streams is 'Streams of events that one edge keeps open for the tenant.';
--= comment on column tenancy.plans.job_schedules is 'Schedules that a tenant may have.';
--= comment on column tenancy.plans.webhook_endpoints is 'Webhook endpoints that a tenant may have.';
--= comment on column tenancy.plans.delivery_concurrency is
--=   'Deliveries of one tenant that one worker has under way at the same time: N workers, up to N times as many, beside its jobs.';
--= comment on column tenancy.plans.delivery_weight is 'The tenant''s share of a worker''s deliveries while there are more than it can have under way.';
--= comment on column tenancy.plans.pool is 'The pool of tenancy.pools that the tier is served from; null for the shared ones.';
--= grant select on tenancy.plans to rowhouse_worker, operator;

--@ function ledger.schema_without(jsonb, text[])
create function ledger.schema_without(schema jsonb, keywords text[])
returns jsonb
language sql
immutable
security invoker
parallel safe
-- `true` and `false` are schemas, too.
return case when jsonb_typeof(schema) = 'object' then schema - keywords else schema end;
comment on function ledger.schema_without(jsonb, text[]) is 'A schema without some of its keywords.';

--@ function ledger.schema_change(jsonb, jsonb)
create function ledger.schema_change(present jsonb, wanted jsonb)
returns text
language sql
immutable
security invoker
set search_path = ''
parallel safe
begin atomic
  with keywords (words, apart) as (values ('{$comment,description,examples,title}'::text[], '{$comment,description,examples,title,properties}'::text[]))
  select case
    -- What said nothing of any property allowed all.
    when (present ? 'properties') <> (wanted ? 'properties')
      or ledger.schema_without(present, k.apart) <> ledger.schema_without(wanted, k.apart)
      or exists (
        select from jsonb_each(present -> 'properties') as was join jsonb_each(wanted -> 'properties') as becomes using (key)
        where ledger.schema_without(was.value, k.words) <> ledger.schema_without(becomes.value, k.words)) then 'other'
    when exists (
      select from jsonb_each(present -> 'properties') as was
      left join jsonb_each(wanted -> 'properties') as becomes using (key) where becomes.key is null) then 'fewer'
    else 'none' end
  from keywords as k;
end;
comment on function ledger.schema_change(jsonb, jsonb) is
  'What readers of a schema would find changed in another: none (it may have more properties, and other words), fewer properties, or other.';

--@ table ledger.event_sources
alter table ledger.event_sources add column begins_after bigint[] not null default '{0}';
comment on column ledger.event_sources.version is 'Rises when a reader of the schema before could not read what comes: the last part of dataschema.';
comment on column ledger.event_sources.begins_after is 'Of each version, the position behind which entries are of it. Where only columns were taken away, it begins where the one before did: they are taken from entries of before, too. What was emitted before its type was declared is of none.';
update ledger.event_sources set begins_after = array_fill(0::bigint, array[version]);
-- A row for each type of event: checked in a moment.
alter table ledger.event_sources
  -- squawk-ignore constraint-missing-not-valid
  add constraint event_sources_versions_begin check (cardinality(begins_after) = version and (relation is null or begins_after[1] = 0));
-- Where earlier versions ended is not known, but when: positions and times rise together, so what was written before then is taken to be of them.
do $begins$
declare
  past record;
  begun bigint[];
  lowest bigint;
  highest bigint;
  middle bigint;
  written timestamptz;
begin
  for past in
    select p.name, p.version, p.replaced_at, s.relation is not null as of_table,
      ledger.schema_change(p.schema, lead(p.schema, 1, s.schema) over (partition by p.name order by p.version)) as change
    from ledger.past_event_schemas as p join ledger.event_sources as s on s.name = p.name
    order by p.name, p.version
  loop
    if past.version = 1 then
      begun := '{0}';
    end if;
    lowest := begun[past.version];
    if not (past.of_table and past.change = 'fewer') then
      highest := (select last_value from ledger.positions);
      set local role rowhouse_dispatcher; -- the owner reads no entries
      while lowest < highest loop
        middle := (lowest + highest + 1) / 2;
        select e.occurred_at into written
        from generate_series(0, 15) as s (slot)
        cross join lateral (
          select i.position, i.occurred_at from ledger.entries as i
          where i.slot = s.slot and i.position >= middle order by i.position limit 1) as e
        order by e.position limit 1;
        if written < past.replaced_at then
          lowest := middle;
        else
          highest := middle - 1;
        end if;
      end loop;
      set local role rowhouse_owner;
    end if;
    begun := begun || lowest;
    update ledger.event_sources set begins_after = begun where name = past.name and version = past.version + 1;
  end loop;
end
$begins$;
--= create table ledger.event_sources (
--=   name text collate "C" not null,
--=   relation regclass,
--=   columns text[],
--=   shown_after bigint[],
--=   policy_role text collate "C",
--=   policy_version text collate "C",
--=   read_role text collate "C",
--=   version integer not null default 1,
--=   begins_after bigint[] not null default '{0}',
--=   description text,
--=   schema jsonb not null,
--=   constraint event_sources_pkey primary key (name),
--=   constraint event_sources_read_role_known check (read_role in ('viewer', 'member', 'admin', 'owner')),
--=   constraint event_sources_version_positive check (version > 0),
--=   constraint event_sources_versions_begin check (cardinality(begins_after) = version and (relation is null or begins_after[1] = 0)),
--=   constraint event_sources_table_has_columns check (
--=     (relation is null) = (columns is null) and cardinality(columns) is not distinct from cardinality(shown_after))
--= );
--= comment on table ledger.event_sources is
--=   'What makes events: tables that clients read through v1 (tenancy.expose), and declared types of what is emitted. Nothing else leaves the ledger.';
--= comment on column ledger.event_sources.name is 'The table as ledger.entries names it, or the type of what is emitted.';
--= comment on column ledger.event_sources.columns is 'The only columns that an event shows: those that clients may read in the v1 view.';
--= comment on column ledger.event_sources.shown_after is
--=   'Of each column, the position behind which entries show it. Before it was added its name may have been that of another, which was hidden.';
--= comment on column ledger.event_sources.policy_role is 'Who may read the table by protect()''s policy, in its policy_version; null: the policy is another.';
--= comment on column ledger.event_sources.policy_version is 'ledger.row_version() of that policy, so that it need not be printed and compared again.';
--= comment on column ledger.event_sources.read_role is 'The least role that sees its events, as it was given; null: whoever may read every row of the table.';
--= comment on column ledger.event_sources.version is 'Rises when a reader of the schema before could not read what comes: the last part of dataschema.';
--= comment on column ledger.event_sources.begins_after is
--=   'Of each version, the position behind which entries are of it. Where only columns were taken away, it begins where the one before did: they '
--=   'are taken from entries of before, too. What was emitted before its type was declared is of none.';
--= comment on column ledger.event_sources.schema is 'JSON Schema of a row of the table, or of the emitted data.';
--= grant select on ledger.event_sources to tenant_user, rowhouse_dispatcher;

--@ function ledger.keep_event_source(ledger.event_sources)
-- A version begins behind the last position that was drawn when this is called; what matters of an entry is when its own was drawn, however late it
-- commits. Of a table: `alter table` waits for whoever has changed its rows, and keeps out who would, until its transaction ends. So
-- no entry is of a wrong version if this is called in that transaction, before that writes rows of its own; called later, what was
-- written in between counts as of the version before. Of an emitted type: nothing waits, and what is emitted between this call and its commit
-- counts as of the new version, of which its producer could not know. Hence the last statement of a short transaction, before producers change.
create or replace function ledger.keep_event_source(wanted ledger.event_sources)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  present ledger.event_sources;
  drawn bigint;
  change text;
begin
  select * into present from ledger.event_sources where name = wanted.name for update;
  drawn := (select last_value from ledger.positions);
  if present.name is null then
    wanted.shown_after := case when wanted.columns is not null then array_fill(0::bigint, array[cardinality(wanted.columns)]) end;
    wanted.begins_after := array[case when wanted.columns is null then drawn else 0 end];
    insert into ledger.event_sources select wanted.*;
    return;
  end if;
  if wanted.columns is not null then
    wanted.shown_after := array(
      select coalesce(present.shown_after[array_position(present.columns, c.name)], drawn)
      from unnest(wanted.columns) with ordinality as c (name, nth) order by c.nth);
  end if;
  wanted.version := present.version;
  wanted.begins_after := present.begins_after;
  change := ledger.schema_change(present.schema, wanted.schema);
  if change <> 'none' then
    insert into ledger.past_event_schemas (name, version, schema) values (present.name, present.version, present.schema);
    wanted.version := present.version + 1;
    wanted.begins_after := wanted.begins_after
      || case when change = 'fewer' and wanted.columns is not null then present.begins_after[present.version] else drawn end;
  end if;
  update ledger.event_sources
  set (relation, columns, shown_after, policy_role, policy_version, read_role, version, begins_after, description, schema)
    = (wanted.relation, wanted.columns, wanted.shown_after, wanted.policy_role, wanted.policy_version, wanted.read_role, wanted.version,
      wanted.begins_after, wanted.description, wanted.schema)
  where name = wanted.name;
end
$$;
comment on function ledger.keep_event_source(ledger.event_sources) is
  'Adds a source of events or renews it, and raises its version where a reader of the schema before could not read what comes.';

--@ function ledger.declare_event_type(text, text, jsonb, text)
create or replace function ledger.declare_event_type(type text, description text, schema jsonb default '{}', read_role text default 'viewer')
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  source ledger.event_sources;
begin
  source.name := type;
  source.read_role := read_role;
  source.version := 1;
  source.description := description;
  source.schema := schema;
  perform ledger.keep_event_source(source);
end
$$;
comment on function ledger.declare_event_type(text, text, jsonb, text) is
  'Says what an emitted type means, who may see it, and what the data of those to come is like: a promise of its producers, which nothing enforces. '
  'Undeclared types may be emitted, too: any viewer sees them, and they have no dataschema. Safe to repeat.';

--@ function ledger.earlier_version(bigint[], bigint)
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

--@ function ledger.version_at(bigint[], bigint)
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

--@ view ledger.events
-- Sub-selects, not joins: pages are read in the order of an index, and a generic plan might hash the registry and sort a million rows.
create or replace view ledger.events with (security_invoker = true) as
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
--= -- Sub-selects, not joins: pages are read in the order of an index, and a generic plan might hash the registry and sort a million rows.
--= create view ledger.events with (security_invoker = true) as
--=   select e.tenant_id::text, e.position, e.slot, 'evt_' || e.position as id, ledger.event_type(e.table_name, e.operation) as type, e.row_id as subject, e.occurred_at as "time", e.subject as actor, e.table_name as source,
--=     coalesce((select s.least_role from ledger.sources as s where s.name = e.table_name), 'viewer') as read_role,
--=     jsonb_strip_nulls(jsonb_build_object(
--=       'specversion', '1.0', 'id', 'evt_' || e.position, 'source', '/tenants/' || e.tenant_id, 'type', ledger.event_type(e.table_name, e.operation), 'subject', e.row_id,
--=       'time', to_char(e.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'datacontenttype', 'application/json',
--=       'tenantid', e.tenant_id, 'actorid', e.subject, 'traceparent', ledger.trace_parent(e.trace_id, e.position)))
--=     || case when e.operation = 'emit' then jsonb_build_object('data', e.new) else '{}' end
--=     || coalesce((
--=       select jsonb_build_object('dataschema', 'rowhouse:/v1/event-types/' || ledger.event_type(e.table_name, e.operation) || '/' || s.version)
--=         || case when e.operation = 'emit' then '{}' else jsonb_build_object('data', jsonb_build_object(
--=           'old', ledger.shown(e.old, s.columns), 'new', ledger.shown(e.new, s.columns),
--=           'changed', to_jsonb(case when not e.changed <@ s.columns
--=             then array(select c from unnest(e.changed) as c where c = any (s.columns)) else e.changed end))) end
--=       from (
--=         select ledger.version_at(s.begins_after, e.position) as version, ledger.columns_at(s.columns, s.shown_after, e.position) as columns
--=         from ledger.event_sources as s where s.name = e.table_name and e.position > s.begins_after[1] offset 0) as s), '{}') as event
--=   from ledger.entries as e
--=   where e.operation = 'emit' or e.table_name in (select s.name from ledger.event_sources as s where s.relation is not null);
--= comment on view ledger.events is
--=   'The one maker of events: entries as CloudEvents 1.0, for whoever may read the entries. Not each entry is an event: only those of '
--=   'ledger.event_sources, and what was emitted. event costs nothing where it is not selected.';
--= grant select on ledger.events to rowhouse_dispatcher;

--@ function ledger.emit_event(text, text, jsonb)
create or replace function ledger.emit_event(type text, subject text, data jsonb)
returns bigint
language plpgsql
volatile
security definer -- as ledger.record()
set search_path = ''
parallel unsafe
as $$
declare
  largest constant integer := 65536;
  size integer := octet_length(data::text);
begin
  if type !~ '^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$' or length(type) > 100 or type is null then
    perform request.raise_error('event_invalid', 'type: up to 100 characters, words of a-z, A-Z, 0-9 and _ with dots between them', 'such as order.paid');
  -- Or it would pass for what a table says, today or once there is one.
  elsif lower(split_part(type, '.', 1)) in ('rowhouse', 'webhook', 'webhooks', 'event', 'events', 'system')
     or exists (select from pg_catalog.pg_namespace where nspname = lower(split_part(emit_event.type, '.', 1)))
     or starts_with(lower(type), 'pg_') then
    perform request.raise_error('event_invalid', format('types that begin with %s are the system''s', split_part(type, '.', 1)), 'begin with a word of your own, such as order.paid');
  elsif subject = '' or length(subject) > 255 or subject ~ '[\x01-\x1f\x7f]' then
    perform request.raise_error('event_invalid', 'subject: 1 to 255 characters, no control characters', 'name what the event is about, or leave it out');
  elsif size > largest then
    perform request.raise_error('event_too_large', format('its data has %s bytes, %s are allowed', size, largest),
      'store it, in a file for example, and send where it is');
  end if;
  return ledger.append_event(request.tenant_id(), type, subject, data);
end
$$;
comment on function ledger.emit_event(text, text, jsonb) is
  'Emits an event of the sealed tenant, if the transaction commits. Returns its position. Its data is not compared with the schema of a declared '
  'type. Raises event_invalid, event_too_large.';
grant execute on function ledger.emit_event(text, text, jsonb) to rowhouse_worker;

--@ function ledger.remove_consumer(text)
set role rowhouse_dispatcher;
create or replace function ledger.remove_consumer(consumer text)
returns void
language plpgsql
volatile
security definer -- as ledger.add_consumer()
set search_path = ''
parallel unsafe
as $$
begin
  delete from ledger.consumers as c where c.consumer = remove_consumer.consumer;
  if found then
    delete from ledger.backlogs as b where b.consumer = remove_consumer.consumer;
    for slot in 0 .. 15 loop
      execute format('drop sequence %s', ledger.cursor(remove_consumer.consumer, slot));
    end loop;
  end if;
end
$$;
comment on function ledger.remove_consumer(text) is 'Ends a consumer, its cursors and its backlogs. Safe to repeat.';
grant execute on function ledger.remove_consumer(text) to rowhouse_owner;
set role rowhouse_owner;

--@ table ledger.backlogs
create table ledger.backlogs (
  tenant_id tenancy.tenant_id not null,
  consumer text collate "C" not null,
  slot smallint not null,
  position bigint not null,
  constraint backlogs_pkey primary key (tenant_id, consumer),
  constraint backlogs_slot_of_tenant check (slot = (hashtextextended(tenant_id, 0) & 15))
) partition by hash (tenant_id);
-- No key to tenancy.tenants: the files of a deleted tenant are purged by entries that may be in its backlog.
comment on table ledger.backlogs is
  'Tenants that a consumer has set aside: the cursor of their slot passes their entries by, so that no other tenant of it waits for them, and they '
  'are handed over from here. A row for each, while it lags.';
comment on column ledger.backlogs.slot is 'ledger.slot(tenant_id).';
comment on column ledger.backlogs.position is 'Up to here the tenant''s entries have been handed over.';
select tenancy.protect('ledger.backlogs', partitions => 1, ledger => false, write_role => 'owner', client_verbs => '{}');

--@ policy "The dispatcher works for every tenant" on ledger.backlogs
create policy "The dispatcher works for every tenant" on ledger.backlogs
  for all to rowhouse_dispatcher using (true) with check (true);
grant select, insert, delete, update (position) on ledger.backlogs to rowhouse_dispatcher;

--@ function ledger.handed_position(text, text)
set role rowhouse_dispatcher;
create function ledger.handed_position(consumer text, tenant text)
returns bigint
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select least(
    coalesce(pg_sequence_last_value(ledger.cursor(handed_position.consumer, ledger.slot(tenant))), 0),
    (select b.position from ledger.backlogs as b where b.tenant_id = tenant and b.consumer = handed_position.consumer));
end;
comment on function ledger.handed_position(text, text) is 'Up to where a tenant''s entries have been handed over to a consumer.';
set role rowhouse_owner;

--@ function ledger.rejoin(text, smallint[], bigint[])
set role rowhouse_dispatcher;
create function ledger.rejoin(consumer text, slots smallint[], cursors bigint[])
returns text[]
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as ledger.take()
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
begin
  -- The usual case: nobody is set aside.
  if not exists (select from ledger.backlogs as b where b.consumer = rejoin.consumer) then
    return '{}';
  end if;
  -- One that is being handed over stays: it does not know yet how far it gets.
  delete from ledger.backlogs as b where b.consumer = rejoin.consumer and b.tenant_id in (
    select reached.tenant_id
    from ledger.backlogs as reached
    join unnest(slots, cursors) as c (slot, position) on c.slot = reached.slot
    -- Not an anti-join, which the planner may make of the whole ledger.
    where reached.consumer = rejoin.consumer and (
      select e.position from ledger.entries as e
      where e.tenant_id = reached.tenant_id and e.position > reached.position and e.position <= c.position
      order by e.position limit 1) is null
    for update of reached skip locked);
  return array(select b.tenant_id::text from ledger.backlogs as b where b.consumer = rejoin.consumer and b.slot = any (slots));
end
$$;
comment on function ledger.rejoin(text, smallint[], bigint[]) is
  'Ends the backlogs of claimed slots that have caught up with the slot''s cursor. Returns the tenants that stay set aside. Only who has claimed '
  'the slots may call it.';
set role rowhouse_owner;

--@ function ledger.begin_backlogs(text, text[], smallint[], bigint[])
set role rowhouse_dispatcher;
create function ledger.begin_backlogs(consumer text, tenants text[], slots smallint[], cursors bigint[])
returns void
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  insert into ledger.backlogs (tenant_id, consumer, slot, position)
  select t.tenant_id, begin_backlogs.consumer, c.slot, c.position
  from unnest(tenants) as t (tenant_id)
  join unnest(slots, cursors) as c (slot, position) on c.slot = ledger.slot(t.tenant_id);
end;
comment on function ledger.begin_backlogs(text, text[], smallint[], bigint[]) is
  'Sets tenants of claimed slots aside, none of which is. Only who has claimed the slots may call it.';
set role rowhouse_owner;

--@ function ledger.set_aside(text, smallint[], bigint[], bigint[], integer, text[])
set role rowhouse_dispatcher;
create function ledger.set_aside(consumer text, slots smallint[], afters bigint[], settleds bigint[], max_entries integer, tenants text[] default null)
returns text[]
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as ledger.take()
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  wanted text[] := (select c.tables from ledger.consumers as c where c.consumer = set_aside.consumer);
  -- An entry that is counted costs a fiftieth of one that is handed over.
  window_entries constant integer := 20 * max_entries;
  share constant integer := greatest(1, max_entries / 5);
  large text[];
begin
  if tenants is null then
    large := array(
      select counted.tenant_id::text
      from (
        select c.slot, e.tenant_id, count(*) as entries, sum(count(*)) over (partition by c.slot) as of_slot
        from unnest(slots, afters, settleds) as c (slot, after_position, settled_position)
        cross join lateral (
          select e.tenant_id, e.table_name from ledger.entries as e
          where e.slot = c.slot and e.position > c.after_position and e.position <= c.settled_position
          order by e.position
          limit window_entries) as e
        where (wanted is null or e.table_name = any (wanted))
          and not exists (select from ledger.backlogs as b where b.tenant_id = e.tenant_id and b.consumer = set_aside.consumer)
        group by c.slot, e.tenant_id) as counted
      where counted.of_slot > max_entries and counted.entries > share);
  else
    large := array(
      select counted.tenant_id
      from (
        select c.slot, t.tenant_id, e.entries, sum(e.entries) over (partition by c.slot) as of_slot
        from unnest(slots, afters, settleds) as c (slot, after_position, settled_position)
        join unnest(tenants) as t (tenant_id) on ledger.slot(t.tenant_id) = c.slot
        cross join lateral (
          select count(*) as entries from (
            select from ledger.entries as e
            where e.tenant_id = t.tenant_id and e.position > c.after_position and e.position <= c.settled_position
            order by e.position
            limit max_entries + 1) as e) as e) as counted
      where counted.of_slot > max_entries and counted.entries > share);
  end if;
  perform ledger.begin_backlogs(set_aside.consumer, large, slots, afters);
  return large;
end
$$;
comment on function ledger.set_aside(text, smallint[], bigint[], bigint[], integer, text[]) is
  'In claimed slots that have more than max_entries entries to hand over (of the tenants named, if any are): sets those tenants aside that have more than a '
  'fifth of that. Returns them. None of them may be set aside already. Only who has claimed the slots may call it.';
set role rowhouse_owner;

--@ function ledger.claim_backlogs(text, integer)
set role rowhouse_dispatcher;
create function ledger.claim_backlogs(consumer text, max_tenants integer)
returns table (tenant_id text, after_position bigint, reached_position bigint)
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select b.tenant_id::text, b.position, pg_sequence_last_value(ledger.cursor(b.consumer, b.slot))
  from ledger.backlogs as b
  where b.consumer = claim_backlogs.consumer and b.position < pg_sequence_last_value(ledger.cursor(b.consumer, b.slot))
  order by random() -- one that has much is no reason for the others to wait
  limit max_tenants
  for update skip locked;
end;
comment on function ledger.claim_backlogs(text, integer) is
  'Locks up to max_tenants backlogs until the end of the transaction. To be handed over are the entries of each with after_position < position <= '
  'reached_position, or the first of them: read them in a later statement. Then ledger.advance_backlogs(), in the same transaction.';
set role rowhouse_owner;

--@ function ledger.advance_backlogs(text, text[], bigint[])
set role rowhouse_dispatcher;
create function ledger.advance_backlogs(consumer text, tenants text[], positions bigint[])
returns void
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  update ledger.backlogs as b set position = m.position
  from unnest(tenants, positions) as m (tenant_id, position)
  where b.tenant_id = m.tenant_id and b.consumer = advance_backlogs.consumer;
end;
comment on function ledger.advance_backlogs(text, text[], bigint[]) is
  'Says up to where backlogs that this transaction has claimed are handed over.';
set role rowhouse_owner;

--@ function ledger.is_behind(text, bigint)
set role rowhouse_dispatcher;
create function ledger.is_behind(consumer text, drawn bigint)
returns boolean
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select exists (
    select from generate_series(0, 15) as s (slot)
    where coalesce(pg_sequence_last_value(ledger.cursor(is_behind.consumer, s.slot)), 0) < drawn);
end;
comment on function ledger.is_behind(text, bigint) is 'Whether a consumer has any slot to follow up to a position.';
set role rowhouse_owner;

--@ function ledger.claim(text, integer)
set role rowhouse_dispatcher;
create function ledger.claim(consumer text, max_slots integer)
returns table (slot smallint, after_position bigint, settled_position bigint)
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_column
declare
  drawn bigint := (select last_value from ledger.positions);
  free record;
begin
  -- The sequence, the writers' locks and the entries have to be read in this order, each with a snapshot of its own.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = 'active_sql_transaction', message = 'ledger.claim() needs isolation level read committed';
  elsif not exists (select from ledger.consumers as c where c.consumer = claim.consumer) then
    raise exception using errcode = 'no_data_found', message = format('no consumer %s of the ledger', claim.consumer);
  elsif not ledger.is_behind(claim.consumer, drawn) then
    return; -- the usual look: it costs a third of one at the locks
  end if;
  for free in
    select s.slot, s.settled, s.holder from ledger.slots(claim.consumer, drawn) as s
    where s.holder is null or s.holder = pg_backend_pid()
    order by random() -- whoever takes a few slots at a time leaves none behind
  loop
    exit when max_slots = 0;
    continue when coalesce(pg_sequence_last_value(ledger.cursor(claim.consumer, free.slot)), 0) >= free.settled;
    -- The session's, since the cursor moves after the commit. Held already: an earlier claim of this session was not settled.
    continue when free.holder is null and not pg_try_advisory_lock(ledger.cursor_key(claim.consumer, free.slot));
    after_position := coalesce(pg_sequence_last_value(ledger.cursor(claim.consumer, free.slot)), 0);
    if after_position >= free.settled then
      perform pg_advisory_unlock(ledger.cursor_key(claim.consumer, free.slot));
      continue;
    end if;
    slot := free.slot;
    settled_position := free.settled;
    max_slots := max_slots - 1;
    return next;
  end loop;
end
$$;
comment on function ledger.claim(text, integer) is
  'Takes up to max_slots free slots of a consumer, as locks of the session. To be handed over are the entries of each with '
  'after_position < position <= settled_position, or the first of them, but for those of tenants that are set aside (ledger.rejoin()). Read them in a later statement: one that calls this function has a '
  'snapshot from before it. Then commit, and advance(): a crash in between hands the same entries over again.';
set role rowhouse_owner;

--@ function ledger.take(text, integer, integer)
set role rowhouse_dispatcher;
create function ledger.take(consumer text, max_slots integer, max_entries integer)
returns table (slot smallint, upto_position bigint, has_backlogs boolean, "position" bigint, tenant_id text, tier text, table_name text,
  operation text, row_id text, trace_id text, old jsonb, new jsonb)
language plpgsql
volatile
security definer -- the dispatcher reads every tenant's entries; its caller reads none
set search_path = ''
-- Planning 16 partitions costs more than reading a batch of them. The generic plan guesses at the range, so it has to be kept to the index.
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  wanted text[] := (select c.tables from ledger.consumers as c where c.consumer = take.consumer);
  most_read integer;
  slots smallint[];
  afters bigint[];
  settleds bigint[];
  begins bigint[];
  uptos bigint[];
  asides text[];
  newly text[];
  crowded boolean;
begin
  select array_agg(c.slot), array_agg(c.after_position), array_agg(c.settled_position) into slots, afters, settleds
  from ledger.claim(take.consumer, max_slots) as c;
  if slots is null then
    return;
  end if;
  asides := ledger.rejoin(take.consumer, slots, afters);
  loop
    -- What is not wanted costs a look alone: rounds cost more.
    most_read := case when wanted is null and asides = '{}' then max_entries + 1 else 20 * max_entries end;
    select array_agg(case when batch.wanted_entries > 0 then c.after_position end order by c.nth), array_agg(batch.upto_position order by c.nth),
      bool_or(batch.wanted_entries > max_entries)
    into begins, uptos, crowded
    from unnest(slots, afters, settleds) with ordinality as c (slot, after_position, settled_position, nth)
    cross join lateral (
      select count(*) filter (where e.is_wanted),
        coalesce((array_agg(e.position) filter (where e.is_wanted))[max_entries],
          case when count(*) = most_read then max(e.position) end, c.settled_position)
      from (
        select e.position, (wanted is null or e.table_name = any (wanted)) and e.tenant_id <> all (asides) from ledger.entries as e
        where e.slot = c.slot and e.position > c.after_position and e.position <= c.settled_position
        order by e.position
        limit most_read) as e (position, is_wanted)) as batch (wanted_entries, upto_position);
    exit when not crowded;
    newly := ledger.set_aside(take.consumer, slots, afters, settleds, max_entries);
    exit when newly = '{}';
    asides := asides || newly;
  end loop;
  -- A statement less where nothing is wanted, which is most rounds.
  if array_remove(begins, null) = '{}' then
    return query select c.slot, c.upto_position, asides <> '{}', null::bigint, null, null, null, null, null, null, null::jsonb, null::jsonb
      from unnest(slots, uptos) as c (slot, upto_position);
    return;
  end if;
  return query
    select c.slot, c.upto_position, asides <> '{}', e.position, e.tenant_id::text, t.tier, e.table_name, e.operation, e.row_id, e.trace_id, e.old, e.new
    from unnest(slots, begins, uptos) as c (slot, after_position, upto_position)
    left join ledger.entries as e on e.slot = c.slot and e.position > c.after_position and e.position <= c.upto_position
      and (wanted is null or e.table_name = any (wanted)) and e.tenant_id <> all (asides)
    left join tenancy.tenants as t on t.id = e.tenant_id
    order by c.slot, e.position;
end
$$;
comment on function ledger.take(text, integer, integer) is
  'ledger.claim(), and the entries of the consumer''s tables: at most max_entries of each slot, in order. A slot that has none is one '
  'row without a position. Hand them over, commit, then advance() each slot to its upto_position. Tenants with too many are set aside: where has_backlogs, '
  'ledger.take_backlogs() has theirs.';
grant execute on function ledger.take(text, integer, integer) to rowhouse_worker;
set role rowhouse_owner;

--@ function ledger.take_backlogs(text, integer, integer)
set role rowhouse_dispatcher;
create function ledger.take_backlogs(consumer text, max_tenants integer, max_entries integer)
returns table ("position" bigint, tenant_id text, tier text, table_name text, operation text, row_id text, trace_id text, old jsonb, new jsonb)
language plpgsql
volatile
security definer -- as ledger.take()
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  wanted text[] := (select c.tables from ledger.consumers as c where c.consumer = take_backlogs.consumer);
  most_read constant integer := case when wanted is null then max_entries else 20 * max_entries end;
  tenants text[];
  afters bigint[];
  uptos bigint[];
begin
  select array_agg(b.tenant_id), array_agg(b.after_position), array_agg(b.reached_position) into tenants, afters, uptos
  from ledger.claim_backlogs(take_backlogs.consumer, max_tenants) as b;
  if tenants is null then
    return;
  end if;
  uptos := array(
    select batch.upto_position
    from unnest(tenants, afters, uptos) with ordinality as b (tenant_id, after_position, reached_position, nth)
    cross join lateral (
      select coalesce((array_agg(e.position) filter (where e.is_wanted))[max_entries],
        case when count(*) = most_read then max(e.position) end, b.reached_position)
      from (
        select e.position, wanted is null or e.table_name = any (wanted) from ledger.entries as e
        where e.tenant_id = b.tenant_id and e.position > b.after_position and e.position <= b.reached_position
        order by e.position
        limit most_read) as e (position, is_wanted)) as batch (upto_position)
    order by b.nth);
  perform ledger.advance_backlogs(take_backlogs.consumer, tenants, uptos);
  return query
    select e.position, b.tenant_id, t.tier, e.table_name, e.operation, e.row_id, e.trace_id, e.old, e.new
    from unnest(tenants, afters, uptos) as b (tenant_id, after_position, upto_position)
    left join ledger.entries as e on e.tenant_id = b.tenant_id and e.position > b.after_position and e.position <= b.upto_position
      and (wanted is null or e.table_name = any (wanted))
    left join tenancy.tenants as t on t.id = b.tenant_id
    order by b.tenant_id, e.position;
end
$$;
comment on function ledger.take_backlogs(text, integer, integer) is
  'Up to max_entries entries of each of up to max_tenants tenants that are set aside, in order; one row without a position for a tenant whose next entries are '
  'none of the consumer''s. Hand them over in the same transaction: its commit says that they are. No rows: there is no backlog, or others are at it.';
grant execute on function ledger.take_backlogs(text, integer, integer) to rowhouse_worker;
set role rowhouse_owner;

--@ function ledger.doze(text)
set role rowhouse_dispatcher;
create function ledger.doze(consumer text)
returns boolean
language plpgsql
volatile
security definer -- the sequences are the dispatcher's to read
set search_path = ''
parallel unsafe
as $$
declare
  drawn bigint;
begin
  perform pg_advisory_lock_shared(ledger.sleeper_key());
  -- A writer that found no sleeper took its writer's lock before it looked: it is still seen here, or its entry is.
  drawn := (select last_value from ledger.positions);
  if ledger.is_behind(doze.consumer, drawn) then
    perform pg_advisory_unlock_shared(ledger.sleeper_key());
    return false;
  end if;
  return true;
end
$$;
comment on function ledger.doze(text) is
  'True: nothing is pending, and this session is woken by NOTIFY ledger_wake when something is; listen first, call rouse() after. '
  'False: there is work to take.';
grant execute on function ledger.doze(text) to rowhouse_worker;
set role rowhouse_owner;

--@ function ledger.lag()
set role rowhouse_dispatcher;
create or replace function ledger.lag()
returns table (consumer text, slot smallint, "position" bigint, entries_behind bigint, seconds_behind numeric, held_back_by integer, prepared text,
  handed_by integer)
language plpgsql
volatile
security definer -- counts entries of every tenant, and says nothing else of them
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  drawn bigint := (select last_value from ledger.positions);
begin
  return query
    select c.consumer, s.slot, reached.position, waiting.entries + aside.entries,
      round(extract(epoch from clock_timestamp() - least(waiting.since, aside.since)), 3),
      case when s.settled < drawn then s.writer end, case when s.settled < drawn and s.writer is null then ledger.prepared_writer(s.slot) end, s.holder
    from ledger.consumers as c
    cross join lateral ledger.slots(c.consumer, drawn) as s
    cross join lateral (select coalesce(pg_sequence_last_value(ledger.cursor(c.consumer, s.slot)), 0) as position) as reached
    -- Above what was drawn: it will be set back (ledger.keep_marks).
    cross join lateral (
      select case when reached.position > (select last_value from ledger.positions) then c.marks[s.slot + 1] else reached.position end as position) as known
    cross join lateral (
      select count(*) as entries, (
        select e.occurred_at from ledger.entries as e
        where e.slot = s.slot and e.position > known.position order by e.position limit 1) as since
      from (
        select from ledger.entries as e
        where e.slot = s.slot and e.position > known.position order by e.position limit 100000) as counted
    ) as waiting
    cross join lateral (
      select coalesce(sum(backlog.entries), 0)::bigint as entries, min(backlog.since) as since
      from ledger.backlogs as b
      cross join lateral (
        select count(*) as entries, (
          select e.occurred_at from ledger.entries as e
          where e.tenant_id = b.tenant_id and e.position > b.position and e.position <= known.position order by e.position limit 1) as since
        from (
          select from ledger.entries as e
          where e.tenant_id = b.tenant_id and e.position > b.position and e.position <= known.position order by e.position limit 100000) as counted
      ) as backlog
      where b.consumer = c.consumer and b.slot = s.slot
    ) as aside
    order by c.consumer, s.slot;
end
$$;
comment on function ledger.lag() is
  'How far each consumer is behind, slot by slot: entries that have committed and are not handed over (counted up to 100,000, and as many of each '
  'tenant that is set aside), the age of '
  'the first of them, the process whose unfinished transaction holds the slot back, or the id of a prepared transaction that does (it has no process, '
  'and ends by COMMIT PREPARED or ROLLBACK PREPARED alone), and the process that hands entries over right now.';
grant execute on function ledger.lag() to rowhouse_worker, rowhouse_owner;
set role rowhouse_owner;

--@ function app.guard_job_schedule()
create or replace function app.guard_job_schedule()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  inserted constant boolean := tg_op = 'INSERT';
  problem text := case when new.cron is null then 'a value is required' when inserted or new.cron <> old.cron then app.cron_problem(new.cron) end;
begin
  if problem is not null then
    perform request.raise_error('job_schedule_invalid', 'cron: ' || problem, 'for example 30 2 * * mon-fri');
  elsif (inserted or new.time_zone <> old.time_zone) and not app.is_time_zone(new.time_zone) then
    perform request.raise_error('job_schedule_invalid', 'time_zone: no zone is called ' || new.time_zone, 'for example Europe/Berlin');
  elsif (inserted or new.type <> old.type) and not exists (select from tenancy.job_types where type = new.type) then
    perform request.raise_error('job_type_unknown',
      case when new.type is null then 'type: a value is required' else format('no worker handles %s', new.type) end,
      (select 'give one of: ' || string_agg(type, ', ' order by type) from tenancy.job_types));
  end if;
  if inserted or (new.type, new.cron, new.time_zone, new.jitter_seconds, new.enabled)
      <> (old.type, old.cron, old.time_zone, old.jitter_seconds, old.enabled) then
    -- A worker computes the time. What was missed while it was off, or said otherwise, is not made up for.
    new.next_run_at := null;
    new.error := case when not inserted and new.error is distinct from old.error then new.error end;
  end if;
  return new;
end
$$;
comment on function app.guard_job_schedule() is 'Which schedules can be stored. Raises job_schedule_invalid, job_type_unknown.';

--@ table app.jobs
-- Of a partitioned table there is no other way; few jobs are dead.
-- squawk-ignore require-concurrent-index-creation
create index jobs_dead_idx on app.jobs (tenant_id, id) where error ->> 'code' = 'job_attempts_exhausted';
--= create table app.jobs (
--=   tenant_id tenancy.tenant_id not null,
--=   id uuid not null default uuidv7(),
--=   type text collate "C" not null,
--=   input jsonb not null default '{}',
--=   idempotency_key text,
--=   status text collate "C" not null default 'queued',
--=   attempts integer not null default 0,
--=   max_attempts integer not null default 3,
--=   progress jsonb not null default '{}',
--=   result jsonb,
--=   error jsonb,
--=   created_by text not null default request.subject(),
--=   created_at timestamptz not null default now(),
--=   updated_at timestamptz not null default now(),
--=   queued_at timestamptz not null default now(),
--=   started_at timestamptz,
--=   finished_at timestamptz,
--=   schedule_id uuid,
--=   due_at timestamptz,
--=   traceparent text collate "C" default request.traceparent(),
--=   constraint jobs_pkey primary key (tenant_id, id),
--=   constraint jobs_idempotency_key_key unique (tenant_id, idempotency_key),
--=   -- However many workers find a schedule due, and however often: one job.
--=   constraint jobs_one_for_each_due_time unique (tenant_id, schedule_id, due_at),
--=   constraint jobs_due_at_of_a_schedule check (schedule_id is null or due_at is not null),
--=   constraint jobs_idempotency_key_length check (length(idempotency_key) between 1 and 255),
--=   constraint jobs_input_is_an_object check (jsonb_typeof(input) = 'object' and octet_length(input::text) <= 262144),
--=   constraint jobs_progress_bounded check (octet_length(progress::text) <= 8192),
--=   constraint jobs_error_bounded check (octet_length(error::text) <= 16384),
--=   constraint jobs_traceparent_form check (traceparent ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'),
--=   constraint jobs_status_known check (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
--=   constraint jobs_attempts_in_range check (attempts >= 0 and max_attempts > 0),
--=   constraint jobs_finished_when_over check ((status in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null))
--= ) partition by hash (tenant_id);
--= create index jobs_created_at_idx on app.jobs (tenant_id, created_at desc, id desc);
--= -- The dead letters. No column of it changes in a job that ends well, `error` being null throughout: its updates stay heap-only.
--= create index jobs_dead_idx on app.jobs (tenant_id, id) where error ->> 'code' = 'job_attempts_exhausted';
--= comment on table app.jobs is $$Jobs
--=
--= Insert one to submit it: type, input and, if you may repeat the request, an idempotency_key. Its progress, result or error appear in the row.$$;
--= comment on column app.jobs.type is 'One of the registered job types, such as csv.validate.';
--= comment on column app.jobs.input is 'What the type asks for: see its schema in docs/jobs.md.';
--= comment on column app.jobs.idempotency_key is 'The same key with the same type and input answers with the first job; with another body it is a 409.';
--= comment on column app.jobs.status is 'queued, running, succeeded, failed or cancelled.';
--= comment on column app.jobs.attempts is 'How many times a worker has started it.';
--= -- No foreign key: deleting a schedule would change each of its jobs, half a million for a year of minutes.
--= comment on column app.jobs.schedule_id is 'The schedule that submitted it, which may be gone.';
--= comment on column app.jobs.due_at is 'For which time of its schedule.';
--= comment on column app.jobs.traceparent is 'The trace of the request that submitted it (W3C Trace Context), which its ledger entries carry on.';
--= select tenancy.protect('app.jobs', expose => true, client_verbs => '{delete}');
--= grant select on app.jobs to rowhouse_worker, rowhouse_edge;
--= grant insert (type, input, schedule_id, due_at),
--=   update (status, attempts, max_attempts, progress, result, error, queued_at, started_at, finished_at) on app.jobs to rowhouse_worker;
--= -- Clients submit, cancel and retry through v1; the guard below decides what else may change.
--= grant insert (type, input, idempotency_key) on app.jobs to tenant_user;
--= grant insert (type, input, idempotency_key) on v1.jobs to tenant_user;

--@ function app.guard_job()
create or replace function app.guard_job()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  job_type tenancy.job_types;
begin
  select * into job_type from tenancy.job_types where type = new.type;
  if tg_op = 'INSERT' then
    if job_type.type is null then
      perform request.raise_error('job_type_unknown',
        case when new.type is null then 'type: a value is required' else format('no worker handles %s', new.type) end,
        (select 'give one of: ' || string_agg(type, ', ' order by type) from tenancy.job_types));
    end if;
    new.max_attempts := job_type.max_attempts;
  elsif old.status <> new.status and (old.status, new.status) not in (
    ('queued', 'running'), ('queued', 'cancelled'), ('queued', 'failed'),
    ('running', 'queued'), ('running', 'succeeded'), ('running', 'failed'), ('running', 'cancelled'),
    ('failed', 'queued'), ('cancelled', 'queued')) then
    perform request.raise_error('job_transition', format('a job that is %s cannot become %s', old.status, new.status));
  end if;
  if octet_length(new.result::text) > coalesce(job_type.max_result_bytes, 262144) then
    perform request.raise_error('job_result_too_large',
      format('the result has %s bytes; %s may have %s', octet_length(new.result::text), new.type, coalesce(job_type.max_result_bytes, 262144)),
      'write a file, and return its id');
  end if;
  return new;
end
$$;
comment on function app.guard_job() is
  'Which jobs can be submitted, which way their status moves, and how large a result of their type may be. '
  'Raises job_type_unknown, job_transition, job_result_too_large.';

--@ grants app.job_runs
grant execute on function
  app.require_lease(uuid, integer),
  app.start_job(uuid),
  app.report_progress(uuid, integer, jsonb),
  app.record_findings(uuid, integer, jsonb),
  app.create_output_file(uuid, integer, text, text, text),
  app.finish_job(uuid, integer, text, jsonb, jsonb),
  app.requeue_job(uuid, integer, jsonb),
  app.abandon_job(uuid, jsonb)
  to rowhouse_worker;

--@ view v1.event_types
create view v1.event_types with (security_invoker = true) as
  with versions as (
    select name, relation is not null as of_table, version, description, schema from ledger.event_sources
    union all
    select p.name, s.relation is not null, p.version, s.description, p.schema
    from ledger.past_event_schemas as p join ledger.event_sources as s on s.name = p.name)
  select v.name || k.suffix as type, v.version,
    case when v.of_table then format(k.says, v.description) else v.description end as description,
    jsonb_build_object('$schema', 'https://json-schema.org/draft/2020-12/schema', '$id', 'rowhouse:/v1/event-types/' || v.name || k.suffix || '/' || v.version)
    || case when not v.of_table then v.schema else jsonb_build_object('type', 'object', 'required', '["old", "new", "changed"]'::jsonb,
      'properties', jsonb_build_object(
        'old', case when k.had_old then v.schema else '{"type": "null"}' end,
        'new', case when k.has_new then v.schema else '{"type": "null"}' end,
        'changed', case when k.had_old and k.has_new then '{"type": "array", "items": {"type": "string"}}' else '{"type": "null"}' end::jsonb)) end as schema
  from versions as v
  join (values
    (true, '.inserted', 'A row was added: %s', false, true),
    (true, '.updated', 'A row was changed: %s', true, true),
    (true, '.deleted', 'A row was removed: %s', true, false),
    (false, '', '', false, false)) as k (of_table, suffix, says, had_old, has_new) on k.of_table = v.of_table;
comment on view v1.event_types is $$Types of events

What the data of each type looks like, as JSON Schema, for this version of it and those before. emit_event takes other types, too.$$;
comment on column v1.event_types.version is
  'The last part of the event''s dataschema. It rises when a column is taken away or changes its type, or a declared schema changes in more than words, not '
  'when something is added. An event from before a change of type keeps its version.';
comment on column v1.event_types.schema is
  'JSON Schema (draft 2020-12) of the event''s data. Of a table''s events it is made from the columns; of an emitted type it is what its producers '
  'promise: nothing compares their data with it.';
grant select on v1.event_types to tenant_user;

--@ function v1.emit_event(text, text, jsonb)
create or replace function v1.emit_event(type text, subject text default null, data jsonb default null)
returns json
language plpgsql
volatile
security definer -- clients may not write the ledger themselves
set search_path = ''
parallel unsafe
as $$
declare
  emitted bigint;
begin
  if not request.has_tenant_role('member') then
    perform request.raise_error('role_insufficient', 'a viewer emits no events', 'ask an admin of the tenant for the role member');
  end if;
  emitted := ledger.emit_event(type, subject, data);
  return json_build_object('id', 'evt_' || emitted, 'position', emitted);
end
$$;
comment on function v1.emit_event(text, text, jsonb) is $$Emit an event

Of a type of your own: words of a-z, A-Z, 0-9 and _ with dots between them, such as order.paid. It reaches webhooks and streams like any other, once, in the
tenant's order. subject: what it is about; data: any JSON of up to 64 KiB. Of a type that is in event_types it should fit the schema, which consumers
go by: nothing compares it here.$$;
grant execute on function v1.emit_event(text, text, jsonb) to tenant_user;

--@ function webhook.inner_wildcards(text[])
create function webhook.inner_wildcards(event_types text[])
returns integer
language sql
immutable
security invoker
parallel safe
return cardinality(array(select pattern from unnest(event_types) as pattern where pattern ~ '[*].'));
comment on function webhook.inner_wildcards(text[]) is
  'How many of the types have a `*` elsewhere than at the end. To compare one with a type can take as many steps as both have characters, multiplied.';
grant execute on function webhook.inner_wildcards(text[]) to tenant_user, rowhouse_dispatcher;

--@ table webhook.endpoints
-- Endpoints are few: checked in a moment. One with more than 10 wildcards before the end, or with an array in an array, ends this here: change it first.
-- squawk-ignore constraint-missing-not-valid
alter table webhook.endpoints add constraint endpoints_event_types_wildcards check (webhook.inner_wildcards(event_types) <= 10);
alter table webhook.endpoints drop constraint endpoints_event_types_form;
-- squawk-ignore constraint-missing-not-valid
alter table webhook.endpoints add constraint endpoints_event_types_form check (
  cardinality(event_types) between 1 and 100 and array_ndims(event_types) = 1
  and array_to_string(event_types, ',', '?') ~ '^[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*(,[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*)*$'
  and length(array_to_string(event_types, ',', '?')) <= 10000);
alter table webhook.endpoints drop constraint endpoints_projection_form;
-- squawk-ignore constraint-missing-not-valid
alter table webhook.endpoints add constraint endpoints_projection_form check (
  cardinality(projection) between 0 and 100 and coalesce(array_ndims(projection), 1) = 1
  and array_to_string(projection, ',', '?') ~ '^([A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?(,[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?)*)?$');
alter table webhook.endpoints drop constraint endpoints_signing_known;
-- squawk-ignore constraint-missing-not-valid
alter table webhook.endpoints add constraint endpoints_signing_known check (
  signing <@ '{v1,v1a}' and cardinality(signing) between 1 and 2 and array_ndims(signing) = 1);
--= create table webhook.endpoints (
--=   tenant_id tenancy.tenant_id not null,
--=   id uuid not null default uuidv7(),
--=   url text not null,
--=   event_types text[] not null default '{*}',
--=   type_patterns text[] not null generated always as (webhook.like_patterns(event_types)) stored,
--=   ordering text collate "C" not null default 'none',
--=   rate integer,
--=   headers jsonb not null default '{}',
--=   projection text[],
--=   signing text[] not null default '{v1}',
--=   timeout_ms integer not null default 15000,
--=   enabled boolean not null default true,
--=   description text not null default '',
--=   disabled_reason text collate "C",
--=   disabled_at timestamptz,
--=   revision bigint not null default 1,
--=   created_by text default request.subject(),
--=   created_at timestamptz not null default now(),
--=   updated_at timestamptz not null default now(),
--=   constraint endpoints_pkey primary key (tenant_id, id),
--=   constraint endpoints_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
--=   constraint endpoints_url_form check (
--=     url ~ '^https?://([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][!-~]*)?$' and url !~ '#' and length(url) <= 2048),
--=   constraint endpoints_event_types_form check (
--=     cardinality(event_types) between 1 and 100 and array_ndims(event_types) = 1
--=     and array_to_string(event_types, ',', '?') ~ '^[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*(,[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*)*$'
--=     and length(array_to_string(event_types, ',', '?')) <= 10000),
--=   -- Everybody's dispatch waits for the comparisons.
--=   constraint endpoints_event_types_wildcards check (webhook.inner_wildcards(event_types) <= 10),
--=   constraint endpoints_ordering_known check (ordering in ('none', 'endpoint', 'subject')),
--=   constraint endpoints_rate_range check (rate between 1 and 10000),
--=   constraint endpoints_headers_form check (jsonb_typeof(headers) = 'object'),
--=   constraint endpoints_projection_form check (
--=     cardinality(projection) between 0 and 100 and coalesce(array_ndims(projection), 1) = 1
--=     and array_to_string(projection, ',', '?') ~ '^([A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?(,[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?)*)?$'),
--=   constraint endpoints_signing_known check (
--=     signing <@ '{v1,v1a}' and cardinality(signing) between 1 and 2 and array_ndims(signing) = 1),
--=   constraint endpoints_timeout_range check (timeout_ms between 1000 and 30000),
--=   constraint endpoints_description_length check (length(description) <= 1000),
--=   constraint endpoints_disabled_says_why check (enabled = (disabled_reason is null) and enabled = (disabled_at is null))
--= ) partition by hash (tenant_id);
--= comment on table webhook.endpoints is $$Webhook endpoints
--=
--= Where the tenant's events are sent. For admins and owners. Make one with create_webhook_endpoint, which shows its secret once.$$;
--= comment on column webhook.endpoints.url is $$https, without credentials or a fragment. Private and local addresses are refused when it is connected to.
--= @sample "https://hooks.invalid/prove"$$;
--= comment on column webhook.endpoints.event_types is $$Types of events; * stands for any characters.
--= @sample ["app.jobs.*"]$$;
--= comment on column webhook.endpoints.ordering is
--=   'none: as soon as possible; subject: the events of one subject strictly one after the other; endpoint: all of them.';
--= comment on column webhook.endpoints.rate is 'Deliveries a second at the most; no limit of its own where null.';
--= comment on column webhook.endpoints.headers is
--=   'Sent with each delivery. Values are stored encrypted and shown as null; a null that is sent back leaves the value as it is.';
--= comment on column webhook.endpoints.projection is $$Which parts of an event's data are sent; all where null.
--= @sample ["changed", "new.status"]$$;
--= comment on column webhook.endpoints.signing is $$v1: HMAC-SHA256 with the shared secret; v1a: ed25519, verified with public_keys.
--= @sample ["v1"]$$;
--= comment on column webhook.endpoints.timeout_ms is 'How long the receiver may take for its answer.';
--= comment on column webhook.endpoints.enabled is '@sample false';
--= comment on column webhook.endpoints.disabled_at is '@sample "2999-01-01T00:00:00Z"';
--= comment on column webhook.endpoints.disabled_reason is
--=   'by_request; gone: it answered 410; failing: nothing but failures for days. Set enabled to true to send again, what was held included.';
--= create index endpoints_enabled_idx on webhook.endpoints (tenant_id) where enabled;
--= select tenancy.protect('webhook.endpoints', partitions => 8, read_role => 'admin', write_role => 'admin', client_verbs => '{}');

--@ table webhook.endpoint_states
comment on table webhook.endpoint_states is 'What workers keep of an endpoint beyond their leases. While nothing fails, written once a second at the most: a held snapshot must not bloat it.';
comment on column webhook.endpoint_states.generation is 'Counts how often the watermark was lowered or the circuit reset, so that a worker does not undo it.';
--= create table webhook.endpoint_states (
--=   tenant_id tenancy.tenant_id not null,
--=   endpoint_id uuid not null,
--=   watermark bigint not null default 0,
--=   generation bigint not null default 1,
--=   circuit text collate "C" not null default 'closed',
--=   opened integer not null default 0,
--=   paused_until timestamptz,
--=   failing_since timestamptz,
--=   failures bigint not null default 0,
--=   last_error text,
--=   constraint endpoint_states_pkey primary key (tenant_id, endpoint_id),
--=   constraint endpoint_states_endpoint_fkey foreign key (tenant_id, endpoint_id)
--=     references webhook.endpoints (tenant_id, id) on delete cascade,
--=   constraint endpoint_states_circuit_known check (circuit in ('closed', 'open', 'half_open'))
--= ) partition by hash (tenant_id);
--= comment on table webhook.endpoint_states is
--=   'What workers keep of an endpoint beyond their leases. While nothing fails, written once a second at the most: a held snapshot must not bloat it.';
--= comment on column webhook.endpoint_states.watermark is 'No delivery up to here waits for its first attempt.';
--= comment on column webhook.endpoint_states.generation is 'Counts how often the watermark was lowered or the circuit reset, so that a worker does not undo it.';
--= comment on column webhook.endpoint_states.opened is 'How often the circuit has opened since the last success.';
--= comment on column webhook.endpoint_states.failing_since is 'When the first attempt failed since the last one that succeeded.';
--= comment on column webhook.endpoint_states.failures is 'Attempts that have failed since then.';
--= select tenancy.protect('webhook.endpoint_states', partitions => 8, ledger => false, read_role => 'admin', write_role => 'owner', client_verbs => '{}');
--= grant select on webhook.endpoint_states to tenant_user;
--= grant select, insert, update on webhook.endpoint_states to rowhouse_dispatcher;

--@ function webhook.refuse_endpoint(text, text)
create or replace function webhook.refuse_endpoint(broken text, missing text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
declare
  field text := coalesce(nullif(missing, ''), (
    select attname from pg_catalog.pg_constraint join pg_catalog.pg_attribute on attrelid = conrelid and attnum = conkey[1]
    where conrelid = 'webhook.endpoints'::regclass and conname = broken));
begin
  perform request.raise_error('webhook_endpoint_invalid',
    field || case when missing <> '' then ' must not be null' else ' does not fit' end,
    field || ': ' || case field
      when 'url' then 'https, without credentials or fragment, at most 2048 characters'
      -- Not a name such as app.jobs.*: edges let no text pass that could name a table.
      when 'event_types' then '1 to 100, words of a-z, A-Z, 0-9, _ and * with dots between them, such as order.*; 10 with a * before the end'
      when 'ordering' then 'none, subject or endpoint'
      when 'rate' then '1 to 10000 a second, or null'
      when 'headers' then 'an object of names and values'
      when 'projection' then 'at most 100 parts of data, such as changed or new.status, or null'
      when 'signing' then 'v1, v1a or both'
      when 'timeout_ms' then '1000 to 30000'
      when 'enabled' then 'true or false'
      when 'description' then 'at most 1000 characters'
    end);
end
$$;
comment on function webhook.refuse_endpoint(text, text) is
  'Raises webhook_endpoint_invalid for a check of webhook.endpoints that does not hold, or a column that is null: named as PostgreSQL''s diagnostics do.';

--@ function webhook.guard_endpoint()
create or replace function webhook.guard_endpoint()
returns trigger
language plpgsql
volatile
security definer -- clients hold no grant on secrets and states
set search_path = ''
parallel unsafe
as $$
begin
  new.revision := old.revision + 1;
  if (new.enabled and not old.enabled) or new.url is distinct from old.url or new.headers is distinct from old.headers then
    -- Another generation: what a worker still has to say of the receiver before counts no more.
    update webhook.endpoint_states
    set circuit = 'closed', opened = 0, paused_until = null, failing_since = null, failures = 0, last_error = null, generation = generation + 1
    where tenant_id = new.tenant_id and endpoint_id = new.id;
  end if;
  if new.enabled and not old.enabled then
    new.disabled_reason := null;
    new.disabled_at := null;
  elsif old.enabled and not new.enabled then
    new.disabled_reason := coalesce(new.disabled_reason, 'by_request');
    new.disabled_at := now();
  end if;
  if new.url is distinct from old.url then
    perform webhook.check_url(new.url);
  end if;
  if new.headers is distinct from old.headers then
    new.headers := webhook.keep_headers(new.id, new.headers);
  end if;
  if new.signing is distinct from old.signing then
    perform webhook.add_missing_secrets(new.id, new.signing);
  end if;
  perform webhook.check_endpoint(new);
  return new;
end
$$;
comment on function webhook.guard_endpoint() is
  'What follows from a change of an endpoint: workers see its revision, the values of headers are put away encrypted, an endpoint that is '
  'enabled again, or gets another url or other headers, starts without a past. What it may not become is refused as create_webhook_endpoint does.';

--@ function webhook.half_open(text, uuid)
set role rowhouse_dispatcher;
create function webhook.half_open(tenant text, endpoint uuid)
returns void
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  -- Not closed: one delivery says whether the receiver is well, and what has failed since when still counts.
  update webhook.endpoint_states as s set circuit = 'half_open', opened = 0, paused_until = null, generation = s.generation + 1
  where s.tenant_id = tenant and s.endpoint_id = endpoint and (s.circuit <> 'closed' or s.paused_until > now());
end;
comment on function webhook.half_open(text, uuid) is
  'Part of webhook.replay() and webhook.send_test(): one delivery goes to an endpoint whose circuit is open, or that is paused, without waiting '
  'for the end of that. If it arrives, the others follow; if not, the circuit is open for as long as the first time.';
set role rowhouse_owner;

--@ function webhook.heard_entries(text[], smallint[], bigint[], bigint[], integer, text[])
set role rowhouse_dispatcher;
create function webhook.heard_entries(tenants text[], slots smallint[], afters bigint[], uptos bigint[], max_entries integer, asides text[])
returns table (nth bigint, tenant_id text, "position" bigint, table_name text, operation text, subject text)
language plpgsql
stable
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.dispatch()
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel safe
as $$
#variable_conflict use_column
begin
  if tenants is null then
    return query
      select r.nth, e.tenant_id::text, e.position, e.table_name, e.operation, e.row_id
      from unnest(slots, afters, uptos) with ordinality as r (slot, after_position, upto_position, nth)
      cross join lateral (
        select * from ledger.entries as e
        where e.slot = r.slot and e.position > r.after_position and e.position <= r.upto_position and e.tenant_id <> all (asides)
        order by e.position
        limit max_entries) as e;
  else
    return query
      select r.nth, e.tenant_id::text, e.position, e.table_name, e.operation, e.row_id
      from unnest(tenants, afters, uptos) with ordinality as r (tenant_id, after_position, upto_position, nth)
      cross join lateral (
        select * from ledger.entries as e
        where e.tenant_id = r.tenant_id and e.position > r.after_position and e.position <= r.upto_position
        order by e.position
        limit max_entries) as e;
  end if;
end
$$;
comment on function webhook.heard_entries(text[], smallint[], bigint[], bigint[], integer, text[]) is
  'The first max_entries entries of each range of positions: of the nth tenant, or where tenants is null of all in the nth slot that are not set aside.';
set role rowhouse_owner;

--@ function webhook.hand_over(text[], smallint[], bigint[], bigint[], integer, text[])
set role rowhouse_dispatcher;
create function webhook.hand_over(tenants text[], slots smallint[], afters bigint[], uptos bigint[], max_entries integer, asides text[])
returns table (nth bigint, entries integer, last_position bigint, tenant_id text, endpoint_id uuid)
language plpgsql
volatile
security invoker
set search_path = ''
-- Planning 16 partitions each time costs more than the work. The plan outlives the statistics that it was made with, which are
-- never those of the moment: it must not come to read whole tables because they were small.
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
set jit = 'off'
parallel unsafe
as $$
#variable_conflict use_column
begin
  return query
    with heard as materialized (
      select e.nth, e.tenant_id, e.position, ledger.event_type(e.table_name, e.operation) as type, e.subject, e.table_name as source, e.operation
      from webhook.heard_entries(tenants, slots, afters, uptos, max_entries, asides) as e
    ), kinds as (
      select distinct e.tenant_id, e.type, e.source from heard as e
      where e.operation = 'emit' or e.source in (select s.name from ledger.event_sources as s where s.relation is not null) -- as ledger.events
    ), matches as materialized (
      select k.tenant_id, k.type, k.source, endpoint.id, endpoint.ordering
      from kinds as k
      cross join lateral (
        select e.id, e.ordering from webhook.endpoints as e
        where e.tenant_id = k.tenant_id and e.enabled and k.type like any (e.type_patterns)
          -- An endpoint is an admin's. Not asked of each event: the answer may read policies.
          and not exists (select from ledger.sources as s where s.name = k.source and s.least_role = 'owner')
        offset 0) as endpoint
    ), added as (
      insert into webhook.deliveries as d (tenant_id, endpoint_id, position, event_type, subject, ordering_key)
      select e.tenant_id, m.id, e.position, e.type, e.subject,
        webhook.ordering_key(m.ordering, e.subject)
      from heard as e
      join matches as m on m.tenant_id = e.tenant_id and m.type = e.type and m.source = e.source
      order by e.tenant_id, m.id, e.position
      on conflict do nothing -- handed over before, by a dispatcher that died before it could say so
      returning d.tenant_id, d.endpoint_id, d.position
    ), work as (
      select a.tenant_id, a.endpoint_id, min(a.position) as lowest from added as a group by a.tenant_id, a.endpoint_id
    ), lowered as (
      -- Only after such a repetition, or a rewind: an endpoint that was not there the first time.
      update webhook.endpoint_states as s set watermark = w.lowest - 1, generation = s.generation + 1
      from work as w
      where s.tenant_id = w.tenant_id and s.endpoint_id = w.endpoint_id and s.watermark >= w.lowest
    )
    select e.nth, count(*)::integer, max(e.position), null::text, null::uuid from heard as e group by e.nth
    union all
    select null, null, null, w.tenant_id::text, w.endpoint_id from work as w;
end
$$;
comment on function webhook.hand_over(text[], smallint[], bigint[], bigint[], integer, text[]) is
  'Makes deliveries of webhook.heard_entries(), for the endpoints that want them. Returns of each range that has any how many entries were looked at and the '
  'last of them; and the endpoints that have new deliveries.';
set role rowhouse_owner;

--@ function webhook.listeners()
set role rowhouse_dispatcher;
create or replace function webhook.listeners()
returns text[]
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  select case when count(*) <= 64 then coalesce(array_agg(e.tenant_id::text), '{}') end
  from (select distinct e.tenant_id from webhook.endpoints as e where e.enabled limit 65) as e;
end;
comment on function webhook.listeners() is
  'The tenants that have an enabled endpoint; null where there are more than 64: looking for the entries of each would then cost more than reading all.';
set role rowhouse_owner;

--@ function webhook.wide_listeners()
set role rowhouse_dispatcher;
create function webhook.wide_listeners()
returns text[]
language sql
stable
security definer -- says of any tenant that it has many endpoints, to a worker that sends to them
set search_path = ''
parallel safe
begin atomic
  select coalesce(array_agg(wide.tenant_id), '{}')
  from (
    select e.tenant_id::text as tenant_id from webhook.endpoints as e
    where e.enabled group by e.tenant_id having count(*) > 8
    order by count(*) desc limit 64) as wide;
end;
comment on function webhook.wide_listeners() is
  'The tenants with more than 8 enabled endpoints, the 64 with the most: each of their events can be as many deliveries, which others need not wait for.';
grant execute on function webhook.wide_listeners() to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.dispatch(integer, integer, text[])
set role rowhouse_dispatcher;
create function webhook.dispatch(max_slots integer, max_entries integer, wide text[] default '{}')
returns table (slot smallint, "position" bigint, entries integer, more boolean, has_backlogs boolean, tenant_id text, endpoint_id uuid)
language plpgsql
volatile
security definer -- matches every tenant's events with that tenant's endpoints; its caller is told which endpoints got work, no more
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.hand_over()
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  slots smallint[];
  afters bigint[];
  settleds bigint[];
  uptos bigint[];
  listeners text[];
  asides text[];
  newly text[];
begin
  select array_agg(c.slot), array_agg(c.after_position), array_agg(c.settled_position) into slots, afters, settleds
  from ledger.claim('webhooks', max_slots) as c;
  if slots is null then
    return;
  end if;
  -- In this order, with a snapshot for each: whoever wrote an entry that is settled had only endpoints that are seen now.
  listeners := webhook.listeners();
  asides := ledger.rejoin('webhooks', slots, afters);
  if cardinality(listeners) = 0 then
    return query select c.slot, c.settled, null::integer, false, asides <> '{}', null::text, null::uuid from unnest(slots, settleds) as c (slot, settled);
    return;
  end if;
  newly := '{}';
  if wide <> '{}' then
    newly := array(
      select w.tenant_id
      from unnest(wide) as w (tenant_id)
      join unnest(slots, afters, settleds) as c (slot, after_position, settled_position) on c.slot = ledger.slot(w.tenant_id)
      -- As in ledger.rejoin(): never a join with the whole ledger.
      cross join lateral (
        select from ledger.entries as e
        where e.tenant_id = w.tenant_id and e.position > c.after_position and e.position <= c.settled_position
        order by e.position limit 1) as heard
      where w.tenant_id <> all (asides));
  end if;
  if newly <> '{}' then
    perform ledger.begin_backlogs('webhooks', newly, slots, afters);
    asides := asides || newly;
  end if;
  -- A range that is no wider has no more.
  if exists (select from unnest(afters, settleds) as c (after_position, settled_position) where settled_position - after_position > max_entries) then
    asides := asides || ledger.set_aside('webhooks', slots, afters, settleds, max_entries,
      case when listeners is not null then array(select listener from unnest(listeners) as listener where listener <> all (asides)) end);
  end if;
  if listeners is not null then
    -- None of them has more: the tenants that had are set aside.
    return query
      with ranges as materialized (
        select c.slot, listener as tenant_id, c.after_position, c.settled_position, row_number() over () as nth
        from unnest(slots, afters, settleds) as c (slot, after_position, settled_position)
        join unnest(listeners) as listener on ledger.slot(listener) = c.slot
        where listener <> all (asides)
      ), handed as materialized (
        select h.* from (
          select array_agg(r.tenant_id order by r.nth) as tenants, array_agg(r.after_position order by r.nth) as afters,
            array_agg(r.settled_position order by r.nth) as settleds from ranges as r) as r
        cross join lateral webhook.hand_over(r.tenants, null, r.afters, r.settleds, max_entries, null) as h
        where r.tenants is not null
      )
      select c.slot, c.settled_position, coalesce(sum(h.entries), 0)::integer, false, asides <> '{}', null::text, null::uuid
      from unnest(slots, settleds) as c (slot, settled_position)
      left join ranges as r using (slot)
      left join handed as h using (nth)
      group by c.slot, c.settled_position
      union all
      select null, null, null, null, null, h.tenant_id, h.endpoint_id from handed as h where h.endpoint_id is not null;
    return;
  end if;
  -- As far as a round reads, where it passes entries by.
  uptos := array(
    select coalesce(
      case when asides <> '{}' then (
        select e.position from ledger.entries as e
        where e.slot = c.slot and e.position > c.after_position and e.position <= c.settled_position
        order by e.position offset 100 * max_entries - 1 limit 1) end,
      c.settled_position)
    from unnest(slots, afters, settleds) with ordinality as c (slot, after_position, settled_position, nth)
    order by c.nth);
  return query
    with handed as materialized (select h.* from webhook.hand_over(null, slots, afters, uptos, max_entries, asides) as h)
    select c.slot, reached.position, coalesce(h.entries, 0), reached.position < c.settled_position, asides <> '{}', null::text, null::uuid
    from unnest(slots, uptos, settleds) with ordinality as c (slot, upto_position, settled_position, nth)
    left join handed as h using (nth)
    cross join lateral (select case when h.entries = max_entries then h.last_position else c.upto_position end) as reached (position)
    union all
    select null, null, null, null, null, h.tenant_id, h.endpoint_id from handed as h where h.endpoint_id is not null;
end
$$;
comment on function webhook.dispatch(integer, integer, text[]) is
  'Hands the entries of up to max_slots free slots of the ledger over to the endpoints that want them. wide: tenants to set aside whatever they have '
  '(webhook.wide_listeners()). Returns the slots, for ledger.advance() after the '
  'commit, how many entries of tenants with endpoints were looked at (null: nobody has an endpoint), whether there are more, and whether tenants are set aside '
  '(then webhook.dispatch_backlogs() has theirs); and the endpoints that have new deliveries.';
grant execute on function webhook.dispatch(integer, integer, text[]) to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.dispatch_backlogs(integer, integer)
set role rowhouse_dispatcher;
create function webhook.dispatch_backlogs(max_tenants integer, max_entries integer)
returns table (entries integer, tenant_id text, endpoint_id uuid)
language plpgsql
volatile
security definer -- as webhook.dispatch()
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.hand_over()
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  tenants text[];
  afters bigint[];
  reacheds bigint[];
  uptos bigint[];
begin
  select array_agg(b.tenant_id), array_agg(b.after_position), array_agg(b.reached_position) into tenants, afters, reacheds
  from ledger.claim_backlogs('webhooks', max_tenants) as b;
  if tenants is null then
    return;
  end if;
  -- So many entries of a tenant with many endpoints as make no more deliveries than those of the others.
  select array_agg(reached.position order by b.nth),
    -- One that has no endpoint any more has an empty range, and is done.
    array_agg(case when listening.endpoints > 0 then reached.position else b.after_position end order by b.nth)
  into reacheds, uptos
  from unnest(tenants, afters, reacheds) with ordinality as b (tenant_id, after_position, reached_position, nth)
  cross join lateral (
    select count(*) as endpoints from webhook.endpoints as e where e.tenant_id = b.tenant_id and e.enabled) as listening
  cross join lateral (
    select coalesce(
      case when listening.endpoints > 8 then (
        select e.position from ledger.entries as e
        where e.tenant_id = b.tenant_id and e.position > b.after_position and e.position <= b.reached_position
        order by e.position offset greatest(8 * max_entries / listening.endpoints, 1) - 1 limit 1) end,
      b.reached_position) as position) as reached;
  return query
    with handed as materialized (select h.* from webhook.hand_over(tenants, null, afters, uptos, max_entries, null) as h),
    advanced as (
      select ledger.advance_backlogs('webhooks', array_agg(b.tenant_id), array_agg(
        case when h.entries = max_entries then h.last_position else b.reached_position end))
      from unnest(tenants, reacheds) with ordinality as b (tenant_id, reached_position, nth)
      left join handed as h using (nth)
    )
    select coalesce(sum(h.entries), 0)::integer, null::text, null::uuid from handed as h, advanced where h.nth is not null
    union all
    select null, h.tenant_id, h.endpoint_id from handed as h where h.endpoint_id is not null;
end
$$;
comment on function webhook.dispatch_backlogs(integer, integer) is
  'As webhook.dispatch(), up to max_entries entries of each of up to max_tenants tenants that are set aside; its commit says that they are handed over. Returns '
  'how many entries, and the endpoints that have new deliveries. No rows: there is no backlog, or others are at it.';
grant execute on function webhook.dispatch_backlogs(integer, integer) to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.record(jsonb, jsonb, jsonb, jsonb)
set role rowhouse_dispatcher;
create or replace function webhook.record(results jsonb, parked jsonb, freed jsonb, states jsonb)
returns integer
language plpgsql
volatile
security definer -- a worker says what came of deliveries of any tenant; it reads none here
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.dispatch()
set enable_seqscan = 'off' -- as webhook.next_deliveries()
set enable_hashjoin = 'off'
set enable_mergejoin = 'off'
set enable_bitmapscan = 'off'
set jit = 'off'
set lock_timeout = '100ms' -- a row that a tenant holds, by a replay or a change of its endpoint, must not hold up the records of others
parallel unsafe
as $$
declare
  recorded integer;
begin
  with moved as (
    update webhook.deliveries as d set
      status = r.status, attempts = r.attempt, next_attempt_at = to_timestamp(r.next_at / 1000), attempted_at = to_timestamp(r.at / 1000),
      dead_at = case r.status when 'dead' then now() end,
      status_code = r.code, error = r.error, latency_ms = r.latency, response = r.response
    from webhook.recordset(results) as r
    where d.tenant_id = r.t and d.endpoint_id = r.e and d.position = r.p
      -- Only the attempt that follows the last one known: what another worker has recorded meanwhile stays.
      and d.attempts = r.attempt - 1 and d.status = 'pending'
    returning d.tenant_id, d.endpoint_id, d.position, d.attempts, d.status, d.attempted_at, d.status_code, d.error, d.latency_ms, d.response
  ), kept as (
    insert into webhook.attempts (tenant_id, endpoint_id, position, attempt, attempted_at, status_code, error, latency_ms, response)
    select tenant_id, endpoint_id, position, attempts, attempted_at, status_code, error, latency_ms, response from moved
    where status <> 'succeeded'
    on conflict do nothing
  )
  select count(*) into recorded from moved;

  if jsonb_array_length(parked) > 0 then
    -- Behind an earlier one of its order that will be tried again. Unless that was settled a moment ago.
    update webhook.deliveries as d set next_attempt_at = case when exists (
        select from webhook.deliveries as earlier
        where earlier.tenant_id = d.tenant_id and earlier.endpoint_id = d.endpoint_id and earlier.ordering_key = d.ordering_key
          and earlier.next_attempt_at is not null and earlier.position < d.position)
      then 'infinity' else now() end
    from webhook.recordset(parked) as r
    where d.tenant_id = r.t and d.endpoint_id = r.e and d.position = r.p and d.status = 'pending' and d.next_attempt_at is null;
  end if;

  if jsonb_array_length(freed) > 0 then
    update webhook.deliveries as d set next_attempt_at = now()
    from webhook.recordset(freed) as r
    where d.tenant_id = r.t and d.endpoint_id = r.e and d.next_attempt_at = 'infinity' and d.position = (
      select waiting.position from webhook.deliveries as waiting
      where waiting.tenant_id = r.t and waiting.endpoint_id = r.e and waiting.ordering_key = r.k and waiting.next_attempt_at is not null
      order by waiting.position limit 1);
  end if;

  if jsonb_array_length(states) > 0 then
    -- A worker that knows of an attempt whose record a crash took along would pass over its delivery for ever.
    update webhook.endpoint_states as s set
      watermark = case when s.generation = r.generation and not passed.over then greatest(s.watermark, r.watermark) else s.watermark end,
      generation = case when s.generation = r.generation and passed.over then s.generation + 1 else s.generation end,
      circuit = case when s.generation = heard.generation then r.circuit else s.circuit end,
      opened = case when s.generation = heard.generation then r.opened else s.opened end,
      paused_until = case when s.generation = heard.generation then to_timestamp(r.paused / 1000) else s.paused_until end,
      failing_since = case when s.generation = heard.generation then to_timestamp(r.failing / 1000) else s.failing_since end,
      failures = case when s.generation = heard.generation then r.failures else s.failures end,
      last_error = case when s.generation = heard.generation then r.error else s.last_error end
    from jsonb_to_recordset(states) as r (t text, e uuid, generation bigint, watermark bigint, circuit text, opened integer, paused float8,
      failing float8, failures bigint, error text)
    join webhook.endpoint_states as known on known.tenant_id = r.t and known.endpoint_id = r.e
    cross join lateral (select exists (
      select from webhook.deliveries as d
      where d.tenant_id = r.t and d.endpoint_id = r.e and d.position > known.watermark and d.position <= r.watermark
        and d.status = 'pending' and d.next_attempt_at is null)) as passed (over)
    -- What was seen before its tenant changed the endpoint, or had it tried again, says nothing of the receiver any more.
    cross join lateral (select case when r.circuit is not null then r.generation end) as heard (generation)
    where s.tenant_id = r.t and s.endpoint_id = r.e;
  end if;
  return recorded;
end
$$;
comment on function webhook.record(jsonb, jsonb, jsonb, jsonb) is
  'What came of attempts, in one statement for all of them. parked: deliveries that wait behind one of their order; freed: orders of '
  'which one was settled, so that the next is due if it was blocked; states: what workers keep of endpoints (no circuit: their health is as it '
  'was). Returns how many attempts were recorded: not those of deliveries that are gone or that were recorded before. Raises lock_not_available where somebody has any of the rows.';
grant execute on function webhook.record(jsonb, jsonb, jsonb, jsonb) to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.await_dispatch(text)
set role rowhouse_dispatcher;
create function webhook.await_dispatch(tenant text)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
set lock_timeout = '2s'
parallel unsafe
as $$
declare
  key bigint := ledger.cursor_key('webhooks', ledger.slot(tenant));
begin
  -- Not of the transaction: its slot, and all tenants in it, would wait for the end of that.
  perform pg_advisory_lock(key);
  perform pg_advisory_unlock(key);
  perform from ledger.backlogs as b where b.tenant_id = tenant and b.consumer = 'webhooks' for share;
  return ledger.handed_position('webhooks', tenant);
end
$$;
comment on function webhook.await_dispatch(text) is
  'Waits for a round of dispatch that is under way, which may have seen the tenant''s endpoints as they were. Returns up to where the tenant''s entries have been '
  'handed over: whatever comes later sees the endpoints as they are. Raises 55P03 where that takes two seconds.';
set role rowhouse_owner;

--@ function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer)
set role rowhouse_dispatcher;
create or replace function webhook.replay(
  tenant_id text, endpoint_id uuid, from_position bigint, to_position bigint, dry_run boolean default false,
  failed_since timestamptz default null, from_time timestamptz default '-infinity', to_time timestamptz default 'infinity',
  most integer default 100000)
returns bigint
language plpgsql
volatile
security definer -- clients and the owner hold no grant on deliveries; whoever calls says for which tenant, and is the owner's function or the CLI
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_variable
declare
  endpoint webhook.endpoints;
  positions bigint[];
  -- Not asked of each event: the answer reads the policies.
  hidden constant text[] := array(select s.name from ledger.sources as s where s.least_role = 'owner');
  counted bigint;
  reached bigint;
  keys text[];
  lasts bigint[];
  begins timestamptz := clock_timestamp();
  a_second constant float8 := 100;
begin
  select * into endpoint from webhook.endpoints as e where e.tenant_id = replay.tenant_id and e.id = replay.endpoint_id;
  if not found then
    perform request.raise_error('webhook_endpoint_unknown');
  end if;
  if failed_since is not null then
    positions := array(
      select d.position from webhook.deliveries as d
      where d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.dead_at >= failed_since
        and d.position between from_position and to_position and d.created_at between from_time and to_time and d.payload is null
      order by d.position limit most + 1);
  else
    -- What was delivered, what was not, and what was never meant for it: events from before the endpoint, or from while it was disabled.
    positions := array(
      select e.position from ledger.events as e
      where e.tenant_id = replay.tenant_id and e.position between from_position and to_position and e.time between from_time and to_time
        and e.type like any (endpoint.type_patterns) and e.source <> all (hidden)
      order by e.position limit most + 1);
  end if;
  if cardinality(positions) > most then
    perform request.raise_error('webhook_replay_invalid', format('these are more than %s events', most), 'replay them in parts');
  end if;
  if dry_run or positions = '{}' then
    return cardinality(positions);
  end if;
  counted := cardinality(positions);

  -- What the dispatcher has not handed over yet, it will. To add a delivery in its place would have it, and with it all tenants, wait for the
  -- end of this transaction.
  for look in 1 .. 25 loop
    reached := ledger.handed_position('webhooks', replay.tenant_id);
    exit when reached >= positions[counted];
    perform pg_sleep(0.01);
  end loop;
  if reached < positions[counted] then
    reached := webhook.await_dispatch(replay.tenant_id);
  end if;
  positions := array(
    select p from unnest(positions) as p
    where p <= reached or exists (
      select from webhook.deliveries as d
      where d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.position = p)
    order by p);

  insert into webhook.attempts (tenant_id, endpoint_id, position, attempt, attempted_at, succeeded, status_code, error, latency_ms, response)
  select d.tenant_id, d.endpoint_id, d.position, d.attempts, d.attempted_at, true, d.status_code, d.error, d.latency_ms, d.response
  from webhook.deliveries as d
  where d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.position = any (positions) and d.status = 'succeeded'
  on conflict do nothing;

  -- One event goes at once. More begin after what waits for its time by an earlier replay, also by one that has not committed yet.
  if counted > 1 then
    -- Bit 63: no key of the ledger's or of a lease has it.
    perform pg_advisory_xact_lock(hashtextextended(concat_ws(' ', 'replay', replay.tenant_id, replay.endpoint_id), 0) | (1::bigint << 63));
    begins := greatest(clock_timestamp(), (
      select max(d.next_attempt_at) + make_interval(secs => 1 / a_second) from webhook.deliveries as d
      where d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.next_attempt_at < 'infinity'
        and d.attempts = d.attempts_before));
  end if;

  -- Of an order only the earliest is due; each that is settled frees the next. So the orders begin one after another, each when those
  -- before it have had the time of all their events. What has its time keeps it, or who replays again and again would put it off for ever.
  with asked as (
    select e.position, e.type, e.subject, k.ordering_key,
      case when k.ordering_key is null then e.position else min(e.position) over (partition by k.ordering_key) end as first,
      case when d.status = 'pending' and d.attempts = d.attempts_before
        and (k.ordering_key is not null or d.next_attempt_at is distinct from 'infinity') then 0 else 1 end as places
    from ledger.events as e
    cross join lateral (select webhook.ordering_key(endpoint.ordering, e.subject)) as k (ordering_key)
    left join webhook.deliveries as d
      on d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.position = e.position
    where e.tenant_id = replay.tenant_id and e.position = any (positions)
  ), replayed as (
    insert into webhook.deliveries as d (tenant_id, endpoint_id, position, event_type, subject, ordering_key, next_attempt_at)
    select replay.tenant_id, replay.endpoint_id, a.position, a.type, a.subject, a.ordering_key,
      case when a.position > a.first then 'infinity'
        else begins + make_interval(secs => (sum(a.places) over (order by a.first, a.position) - a.places) / a_second) end
    from asked as a
    order by a.position
    on conflict on constraint deliveries_pkey do update set
      status = 'pending', dead_at = null, ordering_key = excluded.ordering_key,
      next_attempt_at = least(d.next_attempt_at, excluded.next_attempt_at), attempts_before = d.attempts
    -- What waits for its first attempt will have it without this. Of an order, the others could not be told to wait for it.
    where d.status <> 'pending' or d.next_attempt_at is not null or excluded.ordering_key is not null
    returning d.position, d.ordering_key
  ), lines as (
    select r.ordering_key, max(r.position) as last from replayed as r where r.ordering_key is not null group by r.ordering_key
  )
  select array_agg(l.ordering_key), array_agg(l.last) into keys, lasts from lines as l;
  if keys is not null then
    perform webhook.line_up(replay.tenant_id, replay.endpoint_id, keys, lasts);
  end if;
  perform webhook.half_open(replay.tenant_id, replay.endpoint_id);
  return counted;
end
$$;
comment on function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer) is
  'Delivers events of a range of positions to an endpoint again, or for the first time, 100 a second (of one order one after the other): all '
  'that it asks for, or those that became dead letters since failed_since; `most` at once. Returns how many, with those that the dispatcher is '
  'about to hand over anyway; dry_run: how many it would be. Raises webhook_endpoint_unknown, webhook_replay_invalid.';
grant execute on function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer) to rowhouse_owner;
set role rowhouse_owner;

--@ function webhook.send_test(text, uuid, text)
set role rowhouse_dispatcher;
create or replace function webhook.send_test(tenant text, endpoint uuid, event_type text)
returns bigint
language plpgsql
volatile
security definer -- as webhook.replay()
set search_path = ''
parallel unsafe
as $$
declare
  drawn bigint := nextval('ledger.positions');
begin
  insert into webhook.deliveries (tenant_id, endpoint_id, position, event_type, subject, next_attempt_at, payload)
  -- Before what waits already: of an endpoint whose circuit is open, one delivery alone is tried.
  values (tenant, endpoint, drawn, event_type, endpoint::text, least(now(), (
    select min(d.next_attempt_at) - interval '1 microsecond' from webhook.deliveries as d
    where d.tenant_id = tenant and d.endpoint_id = endpoint and d.next_attempt_at is not null)), jsonb_build_object(
    'specversion', '1.0', 'id', 'test_' || drawn, 'source', '/tenants/' || tenant, 'type', event_type, 'subject', endpoint::text,
    'time', to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'datacontenttype', 'application/json',
    'tenantid', tenant, 'data', jsonb_build_object('test', true)));
  perform webhook.half_open(tenant, endpoint);
  return drawn;
end
$$;
comment on function webhook.send_test(text, uuid, text) is
  'Part of v1.test_webhook_endpoint(): an event that is in no ledger, for one endpoint, outside of any order. Returns its position.';
grant execute on function webhook.send_test(text, uuid, text) to rowhouse_owner;
set role rowhouse_owner;

--@ function v1.replay_webhook_deliveries(uuid, bigint, bigint, timestamptz, timestamptz, timestamptz, boolean)
create or replace function v1.replay_webhook_deliveries(
  id uuid, from_position bigint default null, to_position bigint default null, from_time timestamptz default null,
  to_time timestamptz default null, failed_since timestamptz default null, dry_run boolean default false)
returns json
language plpgsql
volatile
security definer -- clients hold no grant to write deliveries
set search_path = ''
parallel unsafe
as $$
declare
  endpoint webhook.endpoints := webhook.require_endpoint(replay_webhook_deliveries.id);
  replayed bigint;
begin
  if num_nonnulls(from_position, to_position, from_time, to_time, failed_since) = 0 then
    perform request.raise_error('webhook_replay_invalid', 'nothing says which events', 'give positions, times, or failed_since');
  end if;
  replayed := webhook.replay(endpoint.tenant_id, endpoint.id, coalesce(from_position, 0), coalesce(to_position, 9223372036854775807), dry_run,
    failed_since, coalesce(from_time, '-infinity'), coalesce(to_time, 'infinity'));
  return json_build_object('endpoint_id', endpoint.id, 'events', replayed, 'dry_run', dry_run);
end
$$;
comment on function v1.replay_webhook_deliveries(uuid, bigint, bigint, timestamptz, timestamptz, timestamptz, boolean) is
$$Replay deliveries

For admins and owners. Events of a range of positions or times that the endpoint asks for are sent again, 100 a second, or of one order one after
the other, also those from before it was made or from while it was disabled; with failed_since, only the dead ones since then. They keep their
webhook-id. dry_run: how many it would be.$$;
grant execute on function v1.replay_webhook_deliveries(uuid, bigint, bigint, timestamptz, timestamptz, timestamptz, boolean) to tenant_user;

--@ grants app.jobs to the dispatcher
-- When and of what a job died, and what it takes to queue it again. Not its input, result or progress.
grant select (tenant_id, id, type, status, attempts, error, traceparent, finished_at),
  update (status, max_attempts, error, queued_at, started_at, finished_at) on app.jobs to rowhouse_dispatcher;
grant select on tenancy.job_types to rowhouse_dispatcher;

--@ policy "The dispatcher queues any tenant's dead jobs again" on app.jobs
create policy "The dispatcher queues any tenant's dead jobs again" on app.jobs
  for all to rowhouse_dispatcher using (true) with check (true);

--@ function ledger.dead_letters(text, text, uuid[], integer)
set role rowhouse_dispatcher;
create function ledger.dead_letters(
  of_type text default null, of_tenant text default null, ids uuid[] default null, most integer default null)
returns table (job_id uuid, tenant_id text, type text, attempts integer, code text, died_at timestamptz, traceparent text, suspended boolean)
language sql
stable
security definer -- workers and the owner read one tenant at a time; this says which jobs have died, and nothing that they hold
set search_path = ''
parallel unsafe
begin atomic
  select j.id, j.tenant_id::text, j.type, j.attempts, j.error ->> 'cause', j.finished_at, j.traceparent, t.status = 'suspended'
  from app.jobs as j
  join tenancy.tenants as t on t.id = j.tenant_id
  where j.error ->> 'code' = 'job_attempts_exhausted' and j.status = 'failed'
    -- Inside a tenant's walls, that tenant's alone.
    and j.tenant_id = coalesce((select nullif(split_part(request.seal(), ' ', 1), '_')), j.tenant_id)
    and (of_type is null or j.type = of_type)
    and (of_tenant is null or j.tenant_id = of_tenant)
    and (ids is null or j.id = any (ids))
  order by j.finished_at, j.id
  limit most;
end;
comment on function ledger.dead_letters(text, text, uuid[], integer) is
  'The jobs whose attempts are used up, the oldest first: all that every given condition fits. code: of the last attempt''s error; null: it '
  'died without a word. suspended: its tenant is, so that it stays.';
grant execute on function ledger.dead_letters(text, text, uuid[], integer) to rowhouse_worker, rowhouse_owner;
set role rowhouse_owner;

--@ function ledger.redrive_jobs(text, text, uuid[], integer, boolean)
set role rowhouse_dispatcher;
create function ledger.redrive_jobs(
  of_type text default null, of_tenant text default null, ids uuid[] default null, most integer default null, dry_run boolean default false)
returns table (job_id uuid, tenant_id text, type text, attempts integer, code text, died_at timestamptz, traceparent text, suspended boolean)
language plpgsql
volatile
security definer -- as ledger.dead_letters(); an operator has no tenant to enter
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_column
declare
  -- Whoever is no operator redrives what is their own. Raises tenant_required where nobody has entered.
  own_tenant text := case when split_part(request.seal(), ' ', 3) = 'operator' then null else request.tenant_id() end;
  chosen uuid[];
  owners text[];
begin
  -- Locked by a statement of its own: an update that had to wait for another transaction could miss the row (test/sql/policies.test.ts).
  -- What is locked already is being retried, deleted or redriven.
  select coalesce(array_agg(dead.id), '{}'), coalesce(array_agg(dead.tenant_id), '{}') into chosen, owners from (
    select j.id, j.tenant_id from app.jobs as j
    join tenancy.tenants as t on t.id = j.tenant_id
    where j.error ->> 'code' = 'job_attempts_exhausted' and j.status = 'failed' and t.status = 'active'
      and (own_tenant is null or j.tenant_id = own_tenant)
      and (of_type is null or j.type = of_type)
      and (of_tenant is null or j.tenant_id = of_tenant)
      and (ids is null or j.id = any (ids))
    order by j.finished_at, j.id
    limit most for no key update of j skip locked
  ) as dead;
  if dry_run then
    return query
      select l.job_id, l.tenant_id, l.type, l.attempts, l.code, l.died_at, l.traceparent, l.suspended
      from ledger.dead_letters(ids => chosen) as l;
  else
    return query
      update app.jobs as j set
        status = 'queued', queued_at = clock_timestamp(), started_at = null, finished_at = null, error = null,
        max_attempts = j.attempts + coalesce((select t.max_attempts from tenancy.job_types as t where t.type = j.type), 3)
      from unnest(owners, chosen) as letter (tenant_id, id)
      where j.tenant_id = letter.tenant_id and j.id = letter.id
      returning j.id, j.tenant_id::text, j.type, j.attempts, old.error ->> 'cause', old.finished_at, j.traceparent, false;
  end if;
end
$$;
comment on function ledger.redrive_jobs(text, text, uuid[], integer, boolean) is
  'Queues dead jobs again, as v1.retry_job() would, `most` of them and the oldest first: for operators, and inside a tenant''s walls that '
  'tenant''s alone. Returns what was dead; dry_run: changes nothing. Jobs of suspended tenants stay. Raises tenant_required.';
grant execute on function ledger.redrive_jobs(text, text, uuid[], integer, boolean) to rowhouse_worker, rowhouse_owner;
set role rowhouse_owner;

--@ function admin.dead_letters()
create function admin.dead_letters()
returns table (job_id uuid, tenant_id text, type text, attempts integer, code text, died_at timestamptz, traceparent text, suspended boolean)
language plpgsql
stable
security definer -- operators hold no grant on jobs: only these functions
set search_path = ''
parallel unsafe
as $$
begin
  perform auth.require_operator();
  return query select * from ledger.dead_letters();
end
$$;
comment on function admin.dead_letters() is $$Dead letters

Jobs whose attempts are used up, the oldest first. One that is retried, redriven or deleted is none any more. code: of the last attempt's error; null: it
died without a word. suspended: its tenant is, and it stays until that is resumed.$$;
grant execute on function admin.dead_letters() to operator;

--@ function admin.redrive_jobs(uuid[], text, text, boolean, integer, boolean)
create function admin.redrive_jobs(
  ids uuid[] default null, job_type text default null, tenant text default null, every boolean default false, most integer default 1000,
  dry_run boolean default false)
returns table (job_id uuid, tenant_id text, type text, attempts integer, code text, died_at timestamptz, traceparent text, suspended boolean)
language plpgsql
volatile
security definer -- as admin.dead_letters()
set search_path = ''
parallel unsafe
as $$
declare
  unknown uuid;
begin
  perform auth.require_operator();
  if (num_nonnulls(ids, job_type, tenant) > 0) is not distinct from coalesce(every, false) then
    perform request.raise_error('request_invalid', case when every then 'every is each dead letter there is' else 'nothing says which dead letters' end,
      'give ids, job_type or tenant, or every');
  end if;
  select wanted into unknown from unnest(redrive_jobs.ids) as wanted
  where not exists (select from ledger.dead_letters(ids => redrive_jobs.ids) as l where l.job_id = wanted) limit 1;
  if found then
    perform request.raise_error('job_not_found', format('no dead letter of %s; nothing was redriven', unknown),
      'a job that failed without dying is its tenant''s to retry');
  end if;
  return query select * from ledger.redrive_jobs(redrive_jobs.job_type, redrive_jobs.tenant, redrive_jobs.ids, most, coalesce(dry_run, false));
end
$$;
comment on function admin.redrive_jobs(uuid[], text, text, boolean, integer, boolean) is $$Redrive dead letters

Queues dead jobs again, as their tenants could with retry_job: those that all of ids, job_type and tenant fit, or every one; the oldest first, at most `most`.
Answers with those that were (dry_run: would be) redriven. Jobs of suspended tenants stay.$$;
grant execute on function admin.redrive_jobs(uuid[], text, text, boolean, integer, boolean) to operator;

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ drop function admin.redrive_jobs(uuid[], text, text, boolean, integer, boolean)
drop function admin.redrive_jobs(uuid[], text, text, boolean, integer, boolean);

--@ drop function admin.dead_letters()
drop function admin.dead_letters();

--@ drop function ledger.redrive_jobs(text, text, uuid[], integer, boolean)
drop function ledger.redrive_jobs(text, text, uuid[], integer, boolean);

--@ drop function ledger.dead_letters(text, text, uuid[], integer)
drop function ledger.dead_letters(text, text, uuid[], integer);

--@ drop policy "The dispatcher queues any tenant's dead jobs again" on app.jobs
-- ACCESS EXCLUSIVE on app.jobs until commit.
drop policy "The dispatcher queues any tenant's dead jobs again" on app.jobs;

--@ run undo grants app.jobs to the dispatcher
-- Privileges: check by hand that no other object of the book grants the same.
revoke select on tenancy.job_types from rowhouse_dispatcher;
revoke select (tenant_id, id, type, status, attempts, error, traceparent, finished_at), update (status, max_attempts, error, queued_at, started_at, finished_at) on app.jobs from rowhouse_dispatcher;

--@ drop grants app.jobs to the dispatcher

--@ drop function webhook.await_dispatch(text)
drop function webhook.await_dispatch(text);

--@ drop function webhook.dispatch_backlogs(integer, integer)
drop function webhook.dispatch_backlogs(integer, integer);

--@ drop function webhook.dispatch(integer, integer, text[])
drop function webhook.dispatch(integer, integer, text[]);

--@ drop function webhook.wide_listeners()
drop function webhook.wide_listeners();

--@ drop function webhook.hand_over(text[], smallint[], bigint[], bigint[], integer, text[])
drop function webhook.hand_over(text[], smallint[], bigint[], bigint[], integer, text[]);

--@ drop function webhook.heard_entries(text[], smallint[], bigint[], bigint[], integer, text[])
drop function webhook.heard_entries(text[], smallint[], bigint[], bigint[], integer, text[]);

--@ drop function webhook.half_open(text, uuid)
drop function webhook.half_open(text, uuid);

--@ drop function webhook.inner_wildcards(text[])
alter table webhook.endpoints drop constraint endpoints_event_types_wildcards;
drop function webhook.inner_wildcards(text[]);

--@ drop view v1.event_types
drop view v1.event_types;

--@ run undo grants app.job_runs
-- Privileges: check by hand that no other object of the book grants the same.
revoke execute on function app.require_lease(uuid, integer), app.start_job(uuid), app.report_progress(uuid, integer, jsonb), app.record_findings(uuid, integer, jsonb), app.create_output_file(uuid, integer, text, text, text), app.finish_job(uuid, integer, text, jsonb, jsonb), app.requeue_job(uuid, integer, jsonb), app.abandon_job(uuid, jsonb) from rowhouse_worker;

--@ drop function ledger.doze(text)
drop function ledger.doze(text);

--@ drop function ledger.take_backlogs(text, integer, integer)
drop function ledger.take_backlogs(text, integer, integer);

--@ drop function ledger.take(text, integer, integer)
drop function ledger.take(text, integer, integer);

--@ drop function ledger.claim(text, integer)
drop function ledger.claim(text, integer);

--@ drop function ledger.is_behind(text, bigint)
drop function ledger.is_behind(text, bigint);

--@ drop function ledger.advance_backlogs(text, text[], bigint[])
drop function ledger.advance_backlogs(text, text[], bigint[]);

--@ drop function ledger.claim_backlogs(text, integer)
drop function ledger.claim_backlogs(text, integer);

--@ drop function ledger.set_aside(text, smallint[], bigint[], bigint[], integer, text[])
drop function ledger.set_aside(text, smallint[], bigint[], bigint[], integer, text[]);

--@ drop function ledger.begin_backlogs(text, text[], smallint[], bigint[])
drop function ledger.begin_backlogs(text, text[], smallint[], bigint[]);

--@ drop function ledger.rejoin(text, smallint[], bigint[])
drop function ledger.rejoin(text, smallint[], bigint[]);

--@ drop function ledger.handed_position(text, text)
drop function ledger.handed_position(text, text);

--@ drop policy "The dispatcher works for every tenant" on ledger.backlogs
-- ACCESS EXCLUSIVE on ledger.backlogs until commit.
drop policy "The dispatcher works for every tenant" on ledger.backlogs;

--@ drop table ledger.backlogs
drop table ledger.backlogs;

--@ view ledger.events
-- Sub-selects, not joins: pages are read in the order of an index, and a generic plan might hash the registry and sort a million rows.
create or replace view ledger.events with (security_invoker = true) as
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
        select s.version, ledger.columns_at(s.columns, s.shown_after, e.position) as columns
        from ledger.event_sources as s where s.name = e.table_name offset 0) as s), '{}') as event
  from ledger.entries as e
  where e.operation = 'emit' or e.table_name in (select s.name from ledger.event_sources as s where s.relation is not null);
comment on view ledger.events is
  'The one maker of events: entries as CloudEvents 1.0, for whoever may read the entries. Not each entry is an event: only those of '
  'ledger.event_sources, and what was emitted. event costs nothing where it is not selected.';
grant select on ledger.events to rowhouse_dispatcher;
--= -- Sub-selects, not joins: pages are read in the order of an index, and a generic plan might hash the registry and sort a million rows.
--= create view ledger.events with (security_invoker = true) as
--=   select e.tenant_id::text, e.position, e.slot, 'evt_' || e.position as id, ledger.event_type(e.table_name, e.operation) as type, e.row_id as subject, e.occurred_at as "time", e.subject as actor, e.table_name as source,
--=     coalesce((select s.least_role from ledger.sources as s where s.name = e.table_name), 'viewer') as read_role,
--=     jsonb_strip_nulls(jsonb_build_object(
--=       'specversion', '1.0', 'id', 'evt_' || e.position, 'source', '/tenants/' || e.tenant_id, 'type', ledger.event_type(e.table_name, e.operation), 'subject', e.row_id,
--=       'time', to_char(e.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'datacontenttype', 'application/json',
--=       'tenantid', e.tenant_id, 'actorid', e.subject, 'traceparent', ledger.trace_parent(e.trace_id, e.position)))
--=     || case when e.operation = 'emit' then jsonb_build_object('data', e.new) else '{}' end
--=     || coalesce((
--=       select jsonb_build_object('dataschema', 'rowhouse:/v1/event-types/' || ledger.event_type(e.table_name, e.operation) || '/' || s.version)
--=         || case when e.operation = 'emit' then '{}' else jsonb_build_object('data', jsonb_build_object(
--=           'old', ledger.shown(e.old, s.columns), 'new', ledger.shown(e.new, s.columns),
--=           'changed', to_jsonb(case when not e.changed <@ s.columns
--=             then array(select c from unnest(e.changed) as c where c = any (s.columns)) else e.changed end))) end
--=       from (
--=         select s.version, ledger.columns_at(s.columns, s.shown_after, e.position) as columns
--=         from ledger.event_sources as s where s.name = e.table_name offset 0) as s), '{}') as event
--=   from ledger.entries as e
--=   where e.operation = 'emit' or e.table_name in (select s.name from ledger.event_sources as s where s.relation is not null);
--= comment on view ledger.events is
--=   'The one maker of events: entries as CloudEvents 1.0, for whoever may read the entries. Not each entry is an event: only those of '
--=   'ledger.event_sources, and what was emitted. event costs nothing where it is not selected.';
--= grant select on ledger.events to rowhouse_dispatcher;

--@ drop function ledger.version_at(bigint[], bigint)
drop function ledger.version_at(bigint[], bigint);

--@ drop function ledger.earlier_version(bigint[], bigint)
drop function ledger.earlier_version(bigint[], bigint);

--@ drop function ledger.schema_change(jsonb, jsonb)
drop function ledger.schema_change(jsonb, jsonb);

--@ drop function ledger.schema_without(jsonb, text[])
drop function ledger.schema_without(jsonb, text[]);

--@ table tenancy.plans
comment on column tenancy.plans.job_concurrency is 'Jobs of one tenant that run at the same time.';
comment on column tenancy.plans.delivery_concurrency is 'Deliveries of one tenant that one worker has under way at the same time.';
--= create table tenancy.plans (
--=   tier text collate "C" not null,
--=   job_concurrency integer not null,
--=   description text not null,
--=   read_rate integer not null,
--=   read_burst integer not null,
--=   write_rate integer not null,
--=   write_burst integer not null,
--=   expensive_rate integer not null,
--=   expensive_burst integer not null,
--=   request_concurrency integer not null,
--=   queue_length integer not null,
--=   queue_wait interval not null,
--=   statement_timeout interval not null,
--=   cache_bytes bigint not null,
--=   open_streams integer not null default 100,
--=   job_schedules integer not null default 50,
--=   webhook_endpoints integer not null default 20,
--=   delivery_concurrency integer not null default 32,
--=   delivery_weight integer not null default 2,
--=   pool text collate "C",
--=   constraint plans_pkey primary key (tier),
--=   constraint plans_job_concurrency_positive check (job_concurrency > 0),
--=   constraint plans_rates_positive check (least(read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst) > 0),
--=   constraint plans_requests_positive check (request_concurrency > 0 and queue_length >= 0),
--=   constraint plans_queue_wait_range check (queue_wait between '0' and '1 minute'),
--=   constraint plans_statement_timeout_range check (statement_timeout between '10 ms' and '1 hour'),
--=   constraint plans_cache_bytes_not_negative check (cache_bytes >= 0),
--=   constraint plans_open_streams_not_negative check (open_streams >= 0),
--=   constraint plans_job_schedules_not_negative check (job_schedules >= 0),
--=   constraint plans_webhooks_positive check (webhook_endpoints >= 0 and delivery_concurrency > 0 and delivery_weight > 0)
--= );
--= comment on table tenancy.plans is 'What a tenant of each tier may use. tenancy.tenant_settings has the exceptions.';
--= comment on column tenancy.plans.job_concurrency is 'Jobs of one tenant that run at the same time.';
--= comment on column tenancy.plans.read_rate is 'Tokens that the tenant''s bucket gains each second: GET and HEAD.';
--= comment on column tenancy.plans.read_burst is 'Tokens that the bucket holds.';
--= comment on column tenancy.plans.write_rate is 'As read_rate, for requests that write.';
--= comment on column tenancy.plans.expensive_rate is 'As read_rate, for function calls and exact counts.';
--= comment on column tenancy.plans.request_concurrency is 'Requests of one tenant that one edge has in flight at the same time.';
--= comment on column tenancy.plans.queue_length is 'Requests that wait for one of those, for at most queue_wait.';
--= comment on column tenancy.plans.statement_timeout is 'How long one statement of a request may run.';
--= comment on column tenancy.plans.cache_bytes is 'What one edge keeps of the tenant''s answers.';
--= comment on column tenancy.plans.open_streams is 'Streams of events that one edge keeps open for the tenant.';
--= comment on column tenancy.plans.job_schedules is 'Schedules that a tenant may have.';
--= comment on column tenancy.plans.webhook_endpoints is 'Webhook endpoints that a tenant may have.';
--= comment on column tenancy.plans.delivery_concurrency is 'Deliveries of one tenant that one worker has under way at the same time.';
--= comment on column tenancy.plans.delivery_weight is 'The tenant''s share of a worker''s deliveries while there are more than it can have under way.';
--= comment on column tenancy.plans.pool is 'The pool of tenancy.pools that the tier is served from; null for the shared ones.';
--= grant select on tenancy.plans to rowhouse_worker, operator;

--@ table ledger.event_sources
-- squawk-ignore ban-drop-column
alter table ledger.event_sources drop column begins_after;
comment on column ledger.event_sources.version is 'Rises when a column is taken away or changes its type: the last part of dataschema.';
--= create table ledger.event_sources (
--=   name text collate "C" not null,
--=   relation regclass,
--=   columns text[],
--=   shown_after bigint[],
--=   policy_role text collate "C",
--=   policy_version text collate "C",
--=   read_role text collate "C",
--=   version integer not null default 1,
--=   description text,
--=   schema jsonb not null,
--=   constraint event_sources_pkey primary key (name),
--=   constraint event_sources_read_role_known check (read_role in ('viewer', 'member', 'admin', 'owner')),
--=   constraint event_sources_version_positive check (version > 0),
--=   constraint event_sources_table_has_columns check (
--=     (relation is null) = (columns is null) and cardinality(columns) is not distinct from cardinality(shown_after))
--= );
--= comment on table ledger.event_sources is
--=   'What makes events: tables that clients read through v1 (tenancy.expose), and declared types of what is emitted. Nothing else leaves the ledger.';
--= comment on column ledger.event_sources.name is 'The table as ledger.entries names it, or the type of what is emitted.';
--= comment on column ledger.event_sources.columns is 'The only columns that an event shows: those that clients may read in the v1 view.';
--= comment on column ledger.event_sources.shown_after is
--=   'Of each column, the position behind which entries show it. Before it was added its name may have been that of another, which was hidden.';
--= comment on column ledger.event_sources.policy_role is 'Who may read the table by protect()''s policy, in its policy_version; null: the policy is another.';
--= comment on column ledger.event_sources.policy_version is 'ledger.row_version() of that policy, so that it need not be printed and compared again.';
--= comment on column ledger.event_sources.read_role is 'The least role that sees its events, as it was given; null: whoever may read every row of the table.';
--= comment on column ledger.event_sources.version is 'Rises when a column is taken away or changes its type: the last part of dataschema.';
--= comment on column ledger.event_sources.schema is 'JSON Schema of a row of the table, or of the emitted data.';
--= grant select on ledger.event_sources to tenant_user, rowhouse_dispatcher;

--@ function ledger.keep_event_source(ledger.event_sources)
create or replace function ledger.keep_event_source(wanted ledger.event_sources)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  present ledger.event_sources;
begin
  select * into present from ledger.event_sources where name = wanted.name for update;
  if not found then
    wanted.shown_after := case when wanted.columns is not null then array_fill(0::bigint, array[cardinality(wanted.columns)]) end;
    insert into ledger.event_sources select wanted.*;
    return;
  end if;
  if wanted.columns is not null then
    wanted.shown_after := array(
      select coalesce(present.shown_after[array_position(present.columns, c.name)], (select last_value from ledger.positions))
      from unnest(wanted.columns) with ordinality as c (name, nth) order by c.nth);
  end if;
  wanted.version := present.version;
  -- A reader of the old schema reads what only has more. Descriptions are words.
  if exists (
    select from jsonb_each(present.schema -> 'properties') as was
    where was.value - 'description' is distinct from (wanted.schema -> 'properties' -> was.key) - 'description')
    or (present.schema -> 'properties' is null and present.schema <> wanted.schema) then
    insert into ledger.past_event_schemas (name, version, schema) values (present.name, present.version, present.schema);
    wanted.version := present.version + 1;
  end if;
  update ledger.event_sources set (relation, columns, shown_after, policy_role, policy_version, read_role, version, description, schema)
    = (wanted.relation, wanted.columns, wanted.shown_after, wanted.policy_role, wanted.policy_version, wanted.read_role, wanted.version,
      wanted.description, wanted.schema)
  where name = wanted.name;
end
$$;
comment on function ledger.keep_event_source(ledger.event_sources) is
  'Adds a source of events or renews it, and raises its version where a reader of the schema before could not read what comes.';

--@ function ledger.declare_event_type(text, text, jsonb, text)
create or replace function ledger.declare_event_type(type text, description text, schema jsonb default '{}', read_role text default 'viewer')
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  source ledger.event_sources;
begin
  source.name := type;
  source.read_role := read_role;
  source.version := 1;
  source.description := description;
  source.schema := schema;
  perform ledger.keep_event_source(source);
end
$$;
comment on function ledger.declare_event_type(text, text, jsonb, text) is
  'Says what an emitted type means and who may see it. Undeclared types may be emitted, too: any viewer sees them, and they have no dataschema. Safe to repeat.';

--@ function ledger.emit_event(text, text, jsonb)
create or replace function ledger.emit_event(type text, subject text, data jsonb)
returns bigint
language plpgsql
volatile
security definer -- as ledger.record()
set search_path = ''
parallel unsafe
as $$
declare
  largest constant integer := 65536;
  size integer := octet_length(data::text);
begin
  if type !~ '^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$' or length(type) > 100 or type is null then
    perform request.raise_error('event_invalid', 'type: up to 100 characters, words of a-z, A-Z, 0-9 and _ with dots between them', 'such as order.paid');
  -- Or it would pass for what a table says, today or once there is one.
  elsif lower(split_part(type, '.', 1)) in ('rowhouse', 'webhook', 'webhooks', 'event', 'events', 'system')
     or exists (select from pg_catalog.pg_namespace where nspname = lower(split_part(emit_event.type, '.', 1)))
     or starts_with(lower(type), 'pg_') then
    perform request.raise_error('event_invalid', format('types that begin with %s are the system''s', split_part(type, '.', 1)), 'begin with a word of your own, such as order.paid');
  elsif subject = '' or length(subject) > 255 or subject ~ '[\x01-\x1f\x7f]' then
    perform request.raise_error('event_invalid', 'subject: 1 to 255 characters, no control characters', 'name what the event is about, or leave it out');
  elsif size > largest then
    perform request.raise_error('event_too_large', format('its data has %s bytes, %s are allowed', size, largest),
      'store it, in a file for example, and send where it is');
  end if;
  return ledger.append_event(request.tenant_id(), type, subject, data);
end
$$;
comment on function ledger.emit_event(text, text, jsonb) is
  'Emits an event of the sealed tenant, if the transaction commits. Returns its position. Raises event_invalid, event_too_large.';
grant execute on function ledger.emit_event(text, text, jsonb) to rowhouse_worker;

--@ function ledger.remove_consumer(text)
set role rowhouse_dispatcher;
create or replace function ledger.remove_consumer(consumer text)
returns void
language plpgsql
volatile
security definer -- as ledger.add_consumer()
set search_path = ''
parallel unsafe
as $$
begin
  delete from ledger.consumers as c where c.consumer = remove_consumer.consumer;
  if found then
    for slot in 0 .. 15 loop
      execute format('drop sequence %s', ledger.cursor(remove_consumer.consumer, slot));
    end loop;
  end if;
end
$$;
comment on function ledger.remove_consumer(text) is 'Ends a consumer and its cursors. Safe to repeat.';
grant execute on function ledger.remove_consumer(text) to rowhouse_owner;
set role rowhouse_owner;

--@ function ledger.is_behind(text, bigint, smallint[])
set role rowhouse_dispatcher;
create function ledger.is_behind(consumer text, drawn bigint, among smallint[] default null)
returns boolean
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select exists (
    select from generate_series(0, 15) as s (slot)
    where coalesce(pg_sequence_last_value(ledger.cursor(is_behind.consumer, s.slot)), 0) < drawn
      and (among is null or s.slot = any (among)));
end;
comment on function ledger.is_behind(text, bigint, smallint[]) is
  'Whether a consumer has any slot, or any among those named, to follow up to a position.';
set role rowhouse_owner;

--@ function ledger.doze(text, smallint[])
set role rowhouse_dispatcher;
create function ledger.doze(consumer text, among smallint[] default null)
returns boolean
language plpgsql
volatile
security definer -- the sequences are the dispatcher's to read
set search_path = ''
parallel unsafe
as $$
declare
  drawn bigint;
begin
  perform pg_advisory_lock_shared(ledger.sleeper_key());
  -- A writer that found no sleeper took its writer's lock before it looked: it is still seen here, or its entry is.
  drawn := (select last_value from ledger.positions);
  if ledger.is_behind(doze.consumer, drawn, among) then
    perform pg_advisory_unlock_shared(ledger.sleeper_key());
    return false;
  end if;
  return true;
end
$$;
comment on function ledger.doze(text, smallint[]) is
  'True: nothing is pending (in the slots named, if any are), and this session is woken by NOTIFY ledger_wake when something is; listen first, call rouse() after. '
  'False: there is work to take.';
grant execute on function ledger.doze(text, smallint[]) to rowhouse_worker;
set role rowhouse_owner;

--@ function ledger.take(text, integer, integer)
set role rowhouse_dispatcher;
create function ledger.take(consumer text, max_slots integer, max_entries integer)
returns table (slot smallint, upto_position bigint, "position" bigint, tenant_id text, tier text, table_name text, operation text,
  row_id text, trace_id text, old jsonb, new jsonb)
language plpgsql
volatile
security definer -- the dispatcher reads every tenant's entries; its caller reads none
set search_path = ''
-- Planning 16 partitions costs more than reading a batch of them. The generic plan guesses at the range, so it has to be kept to the index.
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  wanted text[] := (select c.tables from ledger.consumers as c where c.consumer = take.consumer);
  -- What is not wanted costs a look alone: rounds cost more.
  most_read constant integer := case when wanted is null then max_entries else 20 * max_entries end;
  slots smallint[];
  afters bigint[];
  uptos bigint[];
begin
  select array_agg(c.slot), array_agg(c.after_position), array_agg(c.settled_position) into slots, afters, uptos
  from ledger.claim(take.consumer, max_slots) as c;
  if slots is null then
    return;
  end if;
  select array_agg(c.slot), array_agg(case when batch.has_wanted then c.after_position end), array_agg(batch.upto_position) into slots, afters, uptos
  from unnest(slots, afters, uptos) as c (slot, after_position, settled_position)
  cross join lateral (
    select count(*) filter (where e.is_wanted) > 0,
      coalesce((array_agg(e.position) filter (where e.is_wanted))[max_entries],
        case when count(*) = most_read then max(e.position) end, c.settled_position)
    from (
      select e.position, wanted is null or e.table_name = any (wanted) from ledger.entries as e
      where e.slot = c.slot and e.position > c.after_position and e.position <= c.settled_position
      order by e.position
      limit most_read) as e (position, is_wanted)) as batch (has_wanted, upto_position);
  -- A statement less where nothing is wanted, which is most rounds.
  if array_remove(afters, null) = '{}' then
    return query select c.slot, c.upto_position, null::bigint, null, null, null, null, null, null, null::jsonb, null::jsonb
      from unnest(slots, uptos) as c (slot, upto_position);
    return;
  end if;
  return query
    select c.slot, c.upto_position, e.position, e.tenant_id::text, t.tier, e.table_name, e.operation, e.row_id, e.trace_id, e.old, e.new
    from unnest(slots, afters, uptos) as c (slot, after_position, upto_position)
    left join ledger.entries as e on e.slot = c.slot and e.position > c.after_position and e.position <= c.upto_position
      and (wanted is null or e.table_name = any (wanted))
    left join tenancy.tenants as t on t.id = e.tenant_id
    order by c.slot, e.position;
end
$$;
comment on function ledger.take(text, integer, integer) is
  'ledger.claim(), and the entries of the consumer''s tables: at most max_entries of each slot, in order. A slot that has none is one '
  'row without a position. Hand them over, commit, then advance() each slot to its upto_position.';
grant execute on function ledger.take(text, integer, integer) to rowhouse_worker;
set role rowhouse_owner;

--@ function ledger.lag()
set role rowhouse_dispatcher;
create or replace function ledger.lag()
returns table (consumer text, slot smallint, "position" bigint, entries_behind bigint, seconds_behind numeric, held_back_by integer, prepared text,
  handed_by integer)
language plpgsql
volatile
security definer -- counts entries of every tenant, and says nothing else of them
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  drawn bigint := (select last_value from ledger.positions);
begin
  return query
    select c.consumer, s.slot, reached.position, waiting.entries, round(extract(epoch from clock_timestamp() - waiting.since), 3),
      case when s.settled < drawn then s.writer end, case when s.settled < drawn and s.writer is null then ledger.prepared_writer(s.slot) end, s.holder
    from ledger.consumers as c
    cross join lateral ledger.slots(c.consumer, drawn) as s
    cross join lateral (select coalesce(pg_sequence_last_value(ledger.cursor(c.consumer, s.slot)), 0) as position) as reached
    -- Above what was drawn: it will be set back (ledger.keep_marks).
    cross join lateral (
      select case when reached.position > (select last_value from ledger.positions) then c.marks[s.slot + 1] else reached.position end as position) as known
    cross join lateral (
      select count(*) as entries, (
        select e.occurred_at from ledger.entries as e
        where e.slot = s.slot and e.position > known.position order by e.position limit 1) as since
      from (
        select from ledger.entries as e
        where e.slot = s.slot and e.position > known.position order by e.position limit 100000) as counted
    ) as waiting
    order by c.consumer, s.slot;
end
$$;
comment on function ledger.lag() is
  'How far each consumer is behind, slot by slot: entries that have committed and are not handed over (counted up to 100,000), the age of '
  'the first of them, the process whose unfinished transaction holds the slot back, or the id of a prepared transaction that does (it has no process, '
  'and ends by COMMIT PREPARED or ROLLBACK PREPARED alone), and the process that hands entries over right now.';
grant execute on function ledger.lag() to rowhouse_worker, rowhouse_owner;
set role rowhouse_owner;

--@ function app.guard_job_schedule()
create or replace function app.guard_job_schedule()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  inserted constant boolean := tg_op = 'INSERT';
  problem text := case when inserted or new.cron <> old.cron then app.cron_problem(new.cron) end;
begin
  if problem is not null then
    perform request.raise_error('job_schedule_invalid', 'cron: ' || problem, 'for example 30 2 * * mon-fri');
  elsif (inserted or new.time_zone <> old.time_zone) and not app.is_time_zone(new.time_zone) then
    perform request.raise_error('job_schedule_invalid', 'time_zone: no zone is called ' || new.time_zone, 'for example Europe/Berlin');
  elsif (inserted or new.type <> old.type) and not exists (select from tenancy.job_types where type = new.type) then
    perform request.raise_error('job_type_unknown', format('no worker handles %s', new.type), 'the types are listed in docs/jobs.md');
  end if;
  if inserted or (new.type, new.cron, new.time_zone, new.jitter_seconds, new.enabled)
      <> (old.type, old.cron, old.time_zone, old.jitter_seconds, old.enabled) then
    -- A worker computes the time. What was missed while it was off, or said otherwise, is not made up for.
    new.next_run_at := null;
    new.error := case when not inserted and new.error is distinct from old.error then new.error end;
  end if;
  return new;
end
$$;
comment on function app.guard_job_schedule() is 'Which schedules can be stored. Raises job_schedule_invalid, job_type_unknown.';

--@ function app.redrive_job(uuid, timestamptz)
create function app.redrive_job(job_id uuid, submission timestamptz)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  update app.jobs as j set
    status = 'queued', queued_at = clock_timestamp(), started_at = null, finished_at = null, error = null,
    max_attempts = j.attempts + coalesce((select t.max_attempts from tenancy.job_types as t where t.type = j.type), 3)
  where j.tenant_id = request.tenant_id() and j.id = job_id and j.queued_at = submission and j.status = 'failed';
  return found;
end
$$;
comment on function app.redrive_job(uuid, timestamptz) is
  'Queues the failed job of a dead letter again. False: the letter is outdated, the job was submitted again, moved or deleted since.';

--@ table app.jobs
-- squawk-ignore require-concurrent-index-deletion
drop index app.jobs_dead_idx;
--= create table app.jobs (
--=   tenant_id tenancy.tenant_id not null,
--=   id uuid not null default uuidv7(),
--=   type text collate "C" not null,
--=   input jsonb not null default '{}',
--=   idempotency_key text,
--=   status text collate "C" not null default 'queued',
--=   attempts integer not null default 0,
--=   max_attempts integer not null default 3,
--=   progress jsonb not null default '{}',
--=   result jsonb,
--=   error jsonb,
--=   created_by text not null default request.subject(),
--=   created_at timestamptz not null default now(),
--=   updated_at timestamptz not null default now(),
--=   queued_at timestamptz not null default now(),
--=   started_at timestamptz,
--=   finished_at timestamptz,
--=   schedule_id uuid,
--=   due_at timestamptz,
--=   traceparent text collate "C" default request.traceparent(),
--=   constraint jobs_pkey primary key (tenant_id, id),
--=   constraint jobs_idempotency_key_key unique (tenant_id, idempotency_key),
--=   -- However many workers find a schedule due, and however often: one job.
--=   constraint jobs_one_for_each_due_time unique (tenant_id, schedule_id, due_at),
--=   constraint jobs_due_at_of_a_schedule check (schedule_id is null or due_at is not null),
--=   constraint jobs_idempotency_key_length check (length(idempotency_key) between 1 and 255),
--=   constraint jobs_input_is_an_object check (jsonb_typeof(input) = 'object' and octet_length(input::text) <= 262144),
--=   constraint jobs_progress_bounded check (octet_length(progress::text) <= 8192),
--=   constraint jobs_error_bounded check (octet_length(error::text) <= 16384),
--=   constraint jobs_traceparent_form check (traceparent ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'),
--=   constraint jobs_status_known check (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
--=   constraint jobs_attempts_in_range check (attempts >= 0 and max_attempts > 0),
--=   constraint jobs_finished_when_over check ((status in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null))
--= ) partition by hash (tenant_id);
--= create index jobs_created_at_idx on app.jobs (tenant_id, created_at desc, id desc);
--= comment on table app.jobs is $$Jobs
--=
--= Insert one to submit it: type, input and, if you may repeat the request, an idempotency_key. Its progress, result or error appear in the row.$$;
--= comment on column app.jobs.type is 'One of the registered job types, such as csv.validate.';
--= comment on column app.jobs.input is 'What the type asks for: see its schema in docs/jobs.md.';
--= comment on column app.jobs.idempotency_key is 'The same key with the same type and input answers with the first job; with another body it is a 409.';
--= comment on column app.jobs.status is 'queued, running, succeeded, failed or cancelled.';
--= comment on column app.jobs.attempts is 'How many times a worker has started it.';
--= -- No foreign key: deleting a schedule would change each of its jobs, half a million for a year of minutes.
--= comment on column app.jobs.schedule_id is 'The schedule that submitted it, which may be gone.';
--= comment on column app.jobs.due_at is 'For which time of its schedule.';
--= comment on column app.jobs.traceparent is 'The trace of the request that submitted it (W3C Trace Context), which its ledger entries carry on.';
--= select tenancy.protect('app.jobs', expose => true, client_verbs => '{delete}');
--= grant select on app.jobs to rowhouse_worker, rowhouse_edge;
--= grant insert (type, input, schedule_id, due_at),
--=   update (status, attempts, max_attempts, progress, result, error, queued_at, started_at, finished_at) on app.jobs to rowhouse_worker;
--= -- Clients submit, cancel and retry through v1; the guard below decides what else may change.
--= grant insert (type, input, idempotency_key) on app.jobs to tenant_user;
--= grant insert (type, input, idempotency_key) on v1.jobs to tenant_user;

--@ function app.guard_job()
create or replace function app.guard_job()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  job_type tenancy.job_types;
begin
  select * into job_type from tenancy.job_types where type = new.type;
  if tg_op = 'INSERT' then
    if job_type.type is null then
      perform request.raise_error('job_type_unknown', format('no worker handles %s', new.type), 'the types are listed in docs/jobs.md');
    end if;
    new.max_attempts := job_type.max_attempts;
  elsif old.status <> new.status and (old.status, new.status) not in (
    ('queued', 'running'), ('queued', 'cancelled'), ('queued', 'failed'),
    ('running', 'queued'), ('running', 'succeeded'), ('running', 'failed'), ('running', 'cancelled'),
    ('failed', 'queued'), ('cancelled', 'queued')) then
    perform request.raise_error('job_transition', format('a job that is %s cannot become %s', old.status, new.status));
  end if;
  if octet_length(new.result::text) > coalesce(job_type.max_result_bytes, 262144) then
    perform request.raise_error('job_result_too_large',
      format('the result has %s bytes; %s may have %s', octet_length(new.result::text), new.type, coalesce(job_type.max_result_bytes, 262144)),
      'write a file, and return its id');
  end if;
  return new;
end
$$;
comment on function app.guard_job() is
  'Which jobs can be submitted, which way their status moves, and how large a result of their type may be. '
  'Raises job_type_unknown, job_transition, job_result_too_large.';

--@ grants app.job_runs
grant execute on function
  app.require_lease(uuid, integer),
  app.start_job(uuid),
  app.report_progress(uuid, integer, jsonb),
  app.record_findings(uuid, integer, jsonb),
  app.create_output_file(uuid, integer, text, text, text),
  app.finish_job(uuid, integer, text, jsonb, jsonb),
  app.requeue_job(uuid, integer, jsonb),
  app.abandon_job(uuid, jsonb),
  app.redrive_job(uuid, timestamptz)
  to rowhouse_worker;

--@ view v1.event_types
create view v1.event_types with (security_invoker = true) as
  with versions as (
    select name, relation is not null as of_table, version, description, schema from ledger.event_sources
    union all
    select p.name, s.relation is not null, p.version, s.description, p.schema
    from ledger.past_event_schemas as p join ledger.event_sources as s on s.name = p.name)
  select v.name || k.suffix as type, v.version,
    case when v.of_table then format(k.says, v.description) else v.description end as description,
    jsonb_build_object('$schema', 'https://json-schema.org/draft/2020-12/schema', '$id', 'rowhouse:/v1/event-types/' || v.name || k.suffix || '/' || v.version)
    || case when not v.of_table then v.schema else jsonb_build_object('type', 'object', 'required', '["old", "new", "changed"]'::jsonb,
      'properties', jsonb_build_object(
        'old', case when k.had_old then v.schema else '{"type": "null"}' end,
        'new', case when k.has_new then v.schema else '{"type": "null"}' end,
        'changed', case when k.had_old and k.has_new then '{"type": "array", "items": {"type": "string"}}' else '{"type": "null"}' end::jsonb)) end as schema
  from versions as v
  join (values
    (true, '.inserted', 'A row was added: %s', false, true),
    (true, '.updated', 'A row was changed: %s', true, true),
    (true, '.deleted', 'A row was removed: %s', true, false),
    (false, '', '', false, false)) as k (of_table, suffix, says, had_old, has_new) on k.of_table = v.of_table;
comment on view v1.event_types is $$Types of events

What the data of each type looks like, as JSON Schema, for this version of it and those before. emit_event takes other types, too.$$;
comment on column v1.event_types.version is 'The last part of the event''s dataschema. It rises when a column is taken away or changes its type, not when one is added.';
comment on column v1.event_types.schema is 'JSON Schema (draft 2020-12) of the event''s data.';
grant select on v1.event_types to tenant_user;

--@ function v1.emit_event(text, text, jsonb)
create or replace function v1.emit_event(type text, subject text default null, data jsonb default null)
returns json
language plpgsql
volatile
security definer -- clients may not write the ledger themselves
set search_path = ''
parallel unsafe
as $$
declare
  emitted bigint;
begin
  if not request.has_tenant_role('member') then
    perform request.raise_error('role_insufficient', 'a viewer emits no events', 'ask an admin of the tenant for the role member');
  end if;
  emitted := ledger.emit_event(type, subject, data);
  return json_build_object('id', 'evt_' || emitted, 'position', emitted);
end
$$;
comment on function v1.emit_event(text, text, jsonb) is $$Emit an event

Of a type of your own: words of a-z, A-Z, 0-9 and _ with dots between them, such as order.paid. It reaches webhooks and streams like any other, once, in the
tenant's order. subject: what it is about; data: any JSON of up to 64 KiB.$$;
grant execute on function v1.emit_event(text, text, jsonb) to tenant_user;

--@ table webhook.endpoints
alter table webhook.endpoints drop constraint endpoints_event_types_form;
-- squawk-ignore constraint-missing-not-valid
alter table webhook.endpoints add constraint endpoints_event_types_form check (
  cardinality(event_types) between 1 and 100
  and array_to_string(event_types, ',', '?') ~ '^[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*(,[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*)*$'
  and length(array_to_string(event_types, ',', '?')) <= 10000);
alter table webhook.endpoints drop constraint endpoints_projection_form;
-- squawk-ignore constraint-missing-not-valid
alter table webhook.endpoints add constraint endpoints_projection_form check (
  cardinality(projection) between 0 and 100
  and array_to_string(projection, ',', '?') ~ '^([A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?(,[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?)*)?$');
alter table webhook.endpoints drop constraint endpoints_signing_known;
-- squawk-ignore constraint-missing-not-valid
alter table webhook.endpoints add constraint endpoints_signing_known check (signing <@ '{v1,v1a}' and cardinality(signing) between 1 and 2);
--= create table webhook.endpoints (
--=   tenant_id tenancy.tenant_id not null,
--=   id uuid not null default uuidv7(),
--=   url text not null,
--=   event_types text[] not null default '{*}',
--=   type_patterns text[] not null generated always as (webhook.like_patterns(event_types)) stored,
--=   ordering text collate "C" not null default 'none',
--=   rate integer,
--=   headers jsonb not null default '{}',
--=   projection text[],
--=   signing text[] not null default '{v1}',
--=   timeout_ms integer not null default 15000,
--=   enabled boolean not null default true,
--=   description text not null default '',
--=   disabled_reason text collate "C",
--=   disabled_at timestamptz,
--=   revision bigint not null default 1,
--=   created_by text default request.subject(),
--=   created_at timestamptz not null default now(),
--=   updated_at timestamptz not null default now(),
--=   constraint endpoints_pkey primary key (tenant_id, id),
--=   constraint endpoints_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
--=   constraint endpoints_url_form check (
--=     url ~ '^https?://([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][!-~]*)?$' and url !~ '#' and length(url) <= 2048),
--=   constraint endpoints_event_types_form check (
--=     cardinality(event_types) between 1 and 100
--=     and array_to_string(event_types, ',', '?') ~ '^[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*(,[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*)*$'
--=     and length(array_to_string(event_types, ',', '?')) <= 10000),
--=   constraint endpoints_ordering_known check (ordering in ('none', 'endpoint', 'subject')),
--=   constraint endpoints_rate_range check (rate between 1 and 10000),
--=   constraint endpoints_headers_form check (jsonb_typeof(headers) = 'object'),
--=   constraint endpoints_projection_form check (
--=     cardinality(projection) between 0 and 100
--=     and array_to_string(projection, ',', '?') ~ '^([A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?(,[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?)*)?$'),
--=   constraint endpoints_signing_known check (signing <@ '{v1,v1a}' and cardinality(signing) between 1 and 2),
--=   constraint endpoints_timeout_range check (timeout_ms between 1000 and 30000),
--=   constraint endpoints_description_length check (length(description) <= 1000),
--=   constraint endpoints_disabled_says_why check (enabled = (disabled_reason is null) and enabled = (disabled_at is null))
--= ) partition by hash (tenant_id);
--= comment on table webhook.endpoints is $$Webhook endpoints
--=
--= Where the tenant's events are sent. For admins and owners. Make one with create_webhook_endpoint, which shows its secret once.$$;
--= comment on column webhook.endpoints.url is $$https, without credentials or a fragment. Private and local addresses are refused when it is connected to.
--= @sample "https://hooks.invalid/prove"$$;
--= comment on column webhook.endpoints.event_types is $$Types of events; * stands for any characters.
--= @sample ["app.jobs.*"]$$;
--= comment on column webhook.endpoints.ordering is
--=   'none: as soon as possible; subject: the events of one subject strictly one after the other; endpoint: all of them.';
--= comment on column webhook.endpoints.rate is 'Deliveries a second at the most; no limit of its own where null.';
--= comment on column webhook.endpoints.headers is
--=   'Sent with each delivery. Values are stored encrypted and shown as null; a null that is sent back leaves the value as it is.';
--= comment on column webhook.endpoints.projection is $$Which parts of an event's data are sent; all where null.
--= @sample ["changed", "new.status"]$$;
--= comment on column webhook.endpoints.signing is $$v1: HMAC-SHA256 with the shared secret; v1a: ed25519, verified with public_keys.
--= @sample ["v1"]$$;
--= comment on column webhook.endpoints.timeout_ms is 'How long the receiver may take for its answer.';
--= comment on column webhook.endpoints.enabled is '@sample false';
--= comment on column webhook.endpoints.disabled_at is '@sample "2999-01-01T00:00:00Z"';
--= comment on column webhook.endpoints.disabled_reason is
--=   'by_request; gone: it answered 410; failing: nothing but failures for days. Set enabled to true to send again, what was held included.';
--= create index endpoints_enabled_idx on webhook.endpoints (tenant_id) where enabled;
--= select tenancy.protect('webhook.endpoints', partitions => 8, read_role => 'admin', write_role => 'admin', client_verbs => '{}');

--@ table webhook.endpoint_states
comment on table webhook.endpoint_states is 'What workers keep of an endpoint beyond their leases. Written once a second at the most: a held snapshot must not bloat it.';
comment on column webhook.endpoint_states.generation is 'Counts how often the watermark was lowered, so that a worker does not raise it again.';
--= create table webhook.endpoint_states (
--=   tenant_id tenancy.tenant_id not null,
--=   endpoint_id uuid not null,
--=   watermark bigint not null default 0,
--=   generation bigint not null default 1,
--=   circuit text collate "C" not null default 'closed',
--=   opened integer not null default 0,
--=   paused_until timestamptz,
--=   failing_since timestamptz,
--=   failures bigint not null default 0,
--=   last_error text,
--=   constraint endpoint_states_pkey primary key (tenant_id, endpoint_id),
--=   constraint endpoint_states_endpoint_fkey foreign key (tenant_id, endpoint_id)
--=     references webhook.endpoints (tenant_id, id) on delete cascade,
--=   constraint endpoint_states_circuit_known check (circuit in ('closed', 'open', 'half_open'))
--= ) partition by hash (tenant_id);
--= comment on table webhook.endpoint_states is
--=   'What workers keep of an endpoint beyond their leases. Written once a second at the most: a held snapshot must not bloat it.';
--= comment on column webhook.endpoint_states.watermark is 'No delivery up to here waits for its first attempt.';
--= comment on column webhook.endpoint_states.generation is 'Counts how often the watermark was lowered, so that a worker does not raise it again.';
--= comment on column webhook.endpoint_states.opened is 'How often the circuit has opened since the last success.';
--= comment on column webhook.endpoint_states.failing_since is 'When the first attempt failed since the last one that succeeded.';
--= comment on column webhook.endpoint_states.failures is 'Attempts that have failed since then.';
--= select tenancy.protect('webhook.endpoint_states', partitions => 8, ledger => false, read_role => 'admin', write_role => 'owner', client_verbs => '{}');
--= grant select on webhook.endpoint_states to tenant_user;
--= grant select, insert, update on webhook.endpoint_states to rowhouse_dispatcher;

--@ function webhook.refuse_endpoint(text, text)
create or replace function webhook.refuse_endpoint(broken text, missing text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
declare
  field text := coalesce(nullif(missing, ''), (
    select attname from pg_catalog.pg_constraint join pg_catalog.pg_attribute on attrelid = conrelid and attnum = conkey[1]
    where conrelid = 'webhook.endpoints'::regclass and conname = broken));
begin
  perform request.raise_error('webhook_endpoint_invalid',
    case when missing <> '' then format('%s must not be null', missing) else format('%s does not hold', broken) end,
    field || ': ' || case field
      when 'url' then 'https, without credentials or fragment, at most 2048 characters'
      when 'event_types' then '1 to 100, such as app.jobs.*'
      when 'ordering' then 'none, subject or endpoint'
      when 'rate' then '1 to 10000 a second, or null'
      when 'headers' then 'an object of names and values'
      when 'projection' then 'at most 100 parts of data, such as changed or new.status, or null'
      when 'signing' then 'v1, v1a or both'
      when 'timeout_ms' then '1000 to 30000'
      when 'enabled' then 'true or false'
      when 'description' then 'at most 1000 characters'
    end);
end
$$;
comment on function webhook.refuse_endpoint(text, text) is
  'Raises webhook_endpoint_invalid for a check of webhook.endpoints that does not hold, or a column that is null: named as PostgreSQL''s diagnostics do.';

--@ function webhook.guard_endpoint()
create or replace function webhook.guard_endpoint()
returns trigger
language plpgsql
volatile
security definer -- clients hold no grant on secrets and states
set search_path = ''
parallel unsafe
as $$
begin
  new.revision := old.revision + 1;
  if new.enabled and not old.enabled then
    new.disabled_reason := null;
    new.disabled_at := null;
    update webhook.endpoint_states
    set circuit = 'closed', opened = 0, paused_until = null, failing_since = null, failures = 0, generation = generation + 1
    where tenant_id = new.tenant_id and endpoint_id = new.id;
  elsif old.enabled and not new.enabled then
    new.disabled_reason := coalesce(new.disabled_reason, 'by_request');
    new.disabled_at := now();
  end if;
  if new.url is distinct from old.url then
    perform webhook.check_url(new.url);
  end if;
  if new.headers is distinct from old.headers then
    new.headers := webhook.keep_headers(new.id, new.headers);
  end if;
  if new.signing is distinct from old.signing then
    perform webhook.add_missing_secrets(new.id, new.signing);
  end if;
  perform webhook.check_endpoint(new);
  return new;
end
$$;
comment on function webhook.guard_endpoint() is
  'What follows from a change of an endpoint: workers see its revision, the values of headers are put away encrypted, an endpoint that is '
  'enabled again starts without a past. What it may not become is refused as create_webhook_endpoint does.';

--@ function webhook.dispatch(integer, integer, smallint[])
set role rowhouse_dispatcher;
create function webhook.dispatch(max_slots integer, max_entries integer, among smallint[] default null)
returns table (slot smallint, "position" bigint, entries integer, more boolean, tenant_id text, endpoint_id uuid)
language plpgsql
volatile
security definer -- matches every tenant's events with that tenant's endpoints; its caller is told which endpoints got work, no more
set search_path = ''
-- Planning 16 partitions each time costs more than the work. The plan outlives the statistics that it was made with, which are
-- never those of the moment: it must not come to read whole tables because they were small.
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
set jit = 'off'
parallel unsafe
as $$
#variable_conflict use_column
declare
  slots smallint[];
  afters bigint[];
  settleds bigint[];
  listeners text[];
begin
  select array_agg(c.slot), array_agg(c.after_position), array_agg(c.settled_position) into slots, afters, settleds
  from ledger.claim('webhooks', max_slots, among) as c;
  if slots is null then
    return;
  end if;
  -- In this order, with a snapshot for each: whoever wrote an entry that is settled had only endpoints that are seen now.
  listeners := webhook.listeners();
  if cardinality(listeners) = 0 then
    return query select c.slot, c.settled, null::integer, false, null::text, null::uuid from unnest(slots, settleds) as c (slot, settled);
    return;
  end if;
  return query
    with heard as materialized (
      select e.slot, e.tenant_id, e.position, ledger.event_type(e.table_name, e.operation) as type, e.subject, e.table_name as source, e.operation
      from webhook.heard_entries(slots, afters, settleds, max_entries, listeners) as e
    ), kinds as (
      select distinct e.tenant_id, e.type, e.source from heard as e
      where e.operation = 'emit' or e.source in (select s.name from ledger.event_sources as s where s.relation is not null) -- as ledger.events
    ), matches as materialized (
      select k.tenant_id, k.type, k.source, endpoint.id, endpoint.ordering
      from kinds as k
      cross join lateral (
        select e.id, e.ordering from webhook.endpoints as e
        where e.tenant_id = k.tenant_id and e.enabled and k.type like any (e.type_patterns)
          -- An endpoint is an admin's. Not asked of each event: the answer may read policies.
          and not exists (select from ledger.sources as s where s.name = k.source and s.least_role = 'owner')
        offset 0) as endpoint
    ), added as (
      insert into webhook.deliveries as d (tenant_id, endpoint_id, position, event_type, subject, ordering_key)
      select e.tenant_id, m.id, e.position, e.type, e.subject,
        webhook.ordering_key(m.ordering, e.subject)
      from heard as e
      join matches as m on m.tenant_id = e.tenant_id and m.type = e.type and m.source = e.source
      order by e.tenant_id, m.id, e.position
      on conflict do nothing -- handed over before, by a dispatcher that died before it could say so
      returning d.tenant_id, d.endpoint_id, d.position
    ), work as (
      select a.tenant_id, a.endpoint_id, min(a.position) as lowest from added as a group by a.tenant_id, a.endpoint_id
    ), lowered as (
      -- Only after such a repetition, or a rewind: an endpoint that was not there the first time.
      update webhook.endpoint_states as s set watermark = w.lowest - 1, generation = s.generation + 1
      from work as w
      where s.tenant_id = w.tenant_id and s.endpoint_id = w.endpoint_id and s.watermark >= w.lowest
    )
    select c.slot, case when e.entries = max_entries then e.last else c.settled end, coalesce(e.entries, 0),
      coalesce(e.entries = max_entries and e.last < c.settled, false), null::text, null::uuid
    from unnest(slots, settleds) as c (slot, settled)
    left join (select e.slot, count(*)::integer as entries, max(e.position) as last from heard as e group by e.slot) as e using (slot)
    union all
    select null, null, null, null, w.tenant_id::text, w.endpoint_id from work as w;
end
$$;
comment on function webhook.dispatch(integer, integer, smallint[]) is
  'Hands the entries of up to max_slots free slots of the ledger (among those named, if any are) over to the endpoints that want them. '
  'Returns the slots, for ledger.advance() after the commit, how many entries of tenants with endpoints were looked at (null: nobody has an '
  'endpoint), and whether there are more; and the endpoints that have new deliveries.';
grant execute on function webhook.dispatch(integer, integer, smallint[]) to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.listeners()
set role rowhouse_dispatcher;
create or replace function webhook.listeners()
returns text[]
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  select case when count(*) <= 64 then coalesce(array_agg(distinct e.tenant_id::text), '{}') end
  from (select e.tenant_id from webhook.endpoints as e where e.enabled limit 65) as e;
end;
comment on function webhook.listeners() is
  'The tenants that have an enabled endpoint; null where there are more than 64: looking for the entries of each would then cost more than reading all.';
set role rowhouse_owner;

--@ function webhook.heard_entries(smallint[], bigint[], bigint[], integer, text[])
set role rowhouse_dispatcher;
create function webhook.heard_entries(slots smallint[], afters bigint[], settleds bigint[], max_entries integer, listeners text[])
returns table (slot smallint, tenant_id text, "position" bigint, table_name text, operation text, subject text)
language plpgsql
stable
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.dispatch()
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
parallel safe
as $$
#variable_conflict use_column
begin
  if listeners is null then
    return query
      select e.slot, e.tenant_id::text, e.position, e.table_name, e.operation, e.row_id
      from unnest(slots, afters, settleds) as c (slot, after_position, settled_position)
      cross join lateral (
        select * from ledger.entries as e
        where e.slot = c.slot and e.position > c.after_position and e.position <= c.settled_position
        order by e.position
        limit max_entries) as e;
  else
    return query
      select c.slot, e.tenant_id::text, e.position, e.table_name, e.operation, e.row_id
      from unnest(slots, afters, settleds) as c (slot, after_position, settled_position)
      cross join lateral (
        select e.*
        from unnest(listeners) as listener (tenant_id)
        cross join lateral (
          select * from ledger.entries as e
          where e.tenant_id = listener.tenant_id and e.position > c.after_position and e.position <= c.settled_position
          order by e.position
          limit max_entries) as e
        where ledger.slot(listener.tenant_id) = c.slot
        order by e.position
        limit max_entries) as e;
  end if;
end
$$;
comment on function webhook.heard_entries(smallint[], bigint[], bigint[], integer, text[]) is
  'The first max_entries entries of each slot, in its range of positions, that somebody may hear of: those of the listeners, or where that is null everybody''s.';
set role rowhouse_owner;

--@ function webhook.record(jsonb, jsonb, jsonb, jsonb)
set role rowhouse_dispatcher;
create or replace function webhook.record(results jsonb, parked jsonb, freed jsonb, states jsonb)
returns integer
language plpgsql
volatile
security definer -- a worker says what came of deliveries of any tenant; it reads none here
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as webhook.dispatch()
set enable_seqscan = 'off' -- as webhook.next_deliveries()
set enable_hashjoin = 'off'
set enable_mergejoin = 'off'
set enable_bitmapscan = 'off'
set jit = 'off'
set lock_timeout = '100ms' -- a row that a tenant holds, by a replay or a change of its endpoint, must not hold up the records of others
parallel unsafe
as $$
declare
  recorded integer;
begin
  with moved as (
    update webhook.deliveries as d set
      status = r.status, attempts = r.attempt, next_attempt_at = to_timestamp(r.next_at / 1000), attempted_at = to_timestamp(r.at / 1000),
      dead_at = case r.status when 'dead' then now() end,
      status_code = r.code, error = r.error, latency_ms = r.latency, response = r.response
    from webhook.recordset(results) as r
    where d.tenant_id = r.t and d.endpoint_id = r.e and d.position = r.p
      -- Only the attempt that follows the last one known: what another worker has recorded meanwhile stays.
      and d.attempts = r.attempt - 1 and d.status = 'pending'
    returning d.tenant_id, d.endpoint_id, d.position, d.attempts, d.status, d.attempted_at, d.status_code, d.error, d.latency_ms, d.response
  ), kept as (
    insert into webhook.attempts (tenant_id, endpoint_id, position, attempt, attempted_at, status_code, error, latency_ms, response)
    select tenant_id, endpoint_id, position, attempts, attempted_at, status_code, error, latency_ms, response from moved
    where status <> 'succeeded'
    on conflict do nothing
  )
  select count(*) into recorded from moved;

  if jsonb_array_length(parked) > 0 then
    -- Behind an earlier one of its order that will be tried again. Unless that was settled a moment ago.
    update webhook.deliveries as d set next_attempt_at = case when exists (
        select from webhook.deliveries as earlier
        where earlier.tenant_id = d.tenant_id and earlier.endpoint_id = d.endpoint_id and earlier.ordering_key = d.ordering_key
          and earlier.next_attempt_at is not null and earlier.position < d.position)
      then 'infinity' else now() end
    from webhook.recordset(parked) as r
    where d.tenant_id = r.t and d.endpoint_id = r.e and d.position = r.p and d.status = 'pending' and d.next_attempt_at is null;
  end if;

  if jsonb_array_length(freed) > 0 then
    update webhook.deliveries as d set next_attempt_at = now()
    from webhook.recordset(freed) as r
    where d.tenant_id = r.t and d.endpoint_id = r.e and d.next_attempt_at = 'infinity' and d.position = (
      select waiting.position from webhook.deliveries as waiting
      where waiting.tenant_id = r.t and waiting.endpoint_id = r.e and waiting.ordering_key = r.k and waiting.next_attempt_at is not null
      order by waiting.position limit 1);
  end if;

  if jsonb_array_length(states) > 0 then
    -- A worker that knows of an attempt whose record a crash took along would pass over its delivery for ever.
    update webhook.endpoint_states as s set
      watermark = case when s.generation = r.generation and not passed.over then greatest(s.watermark, r.watermark) else s.watermark end,
      generation = case when s.generation = r.generation and passed.over then s.generation + 1 else s.generation end,
      circuit = r.circuit, opened = r.opened, paused_until = to_timestamp(r.paused / 1000), failing_since = to_timestamp(r.failing / 1000),
      failures = r.failures, last_error = r.error
    from jsonb_to_recordset(states) as r (t text, e uuid, generation bigint, watermark bigint, circuit text, opened integer, paused float8,
      failing float8, failures bigint, error text)
    join webhook.endpoint_states as known on known.tenant_id = r.t and known.endpoint_id = r.e
    cross join lateral (select exists (
      select from webhook.deliveries as d
      where d.tenant_id = r.t and d.endpoint_id = r.e and d.position > known.watermark and d.position <= r.watermark
        and d.status = 'pending' and d.next_attempt_at is null)) as passed (over)
    where s.tenant_id = r.t and s.endpoint_id = r.e;
  end if;
  return recorded;
end
$$;
comment on function webhook.record(jsonb, jsonb, jsonb, jsonb) is
  'What came of attempts, in one statement for all of them. parked: deliveries that wait behind one of their order; freed: orders of '
  'which one was settled, so that the next is due if it was blocked; states: what the leaseholder keeps of endpoints. Returns how many attempts '
  'were recorded: not those of deliveries that are gone or that were recorded before. Raises lock_not_available where somebody has any of the rows.';
grant execute on function webhook.record(jsonb, jsonb, jsonb, jsonb) to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer)
set role rowhouse_dispatcher;
create or replace function webhook.replay(
  tenant_id text, endpoint_id uuid, from_position bigint, to_position bigint, dry_run boolean default false,
  failed_since timestamptz default null, from_time timestamptz default '-infinity', to_time timestamptz default 'infinity',
  most integer default 100000)
returns bigint
language plpgsql
volatile
security definer -- clients and the owner hold no grant on deliveries; whoever calls says for which tenant, and is the owner's function or the CLI
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_variable
declare
  endpoint webhook.endpoints;
  positions bigint[];
  -- Not asked of each event: the answer reads the policies.
  hidden constant text[] := array(select s.name from ledger.sources as s where s.least_role = 'owner');
  counted bigint;
  reached bigint;
  keys text[];
  lasts bigint[];
  a_second constant float8 := 100;
begin
  select * into endpoint from webhook.endpoints as e where e.tenant_id = replay.tenant_id and e.id = replay.endpoint_id;
  if not found then
    perform request.raise_error('webhook_endpoint_unknown');
  end if;
  if failed_since is not null then
    positions := array(
      select d.position from webhook.deliveries as d
      where d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.dead_at >= failed_since
        and d.position between from_position and to_position and d.created_at between from_time and to_time and d.payload is null
      order by d.position limit most + 1);
  else
    -- What was delivered, what was not, and what was never meant for it: events from before the endpoint, or from while it was disabled.
    positions := array(
      select e.position from ledger.events as e
      where e.tenant_id = replay.tenant_id and e.position between from_position and to_position and e.time between from_time and to_time
        and e.type like any (endpoint.type_patterns) and e.source <> all (hidden)
      order by e.position limit most + 1);
  end if;
  if cardinality(positions) > most then
    perform request.raise_error('webhook_replay_invalid', format('these are more than %s events', most), 'replay them in parts');
  end if;
  if dry_run or positions = '{}' then
    return cardinality(positions);
  end if;
  counted := cardinality(positions);

  -- What the dispatcher has not handed over yet, it will; one that is about to may have seen the endpoint while it was disabled. To add a
  -- delivery in its place would have it, and with it all tenants, wait for the end of this transaction.
  for look in 1 .. 25 loop
    reached := coalesce(pg_sequence_last_value(ledger.cursor('webhooks', ledger.slot(replay.tenant_id))), 0);
    exit when reached >= positions[counted];
    perform pg_sleep(0.01);
  end loop;
  positions := array(
    select p from unnest(positions) as p
    where p <= reached or exists (
      select from webhook.deliveries as d
      where d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.position = p)
    order by p);

  insert into webhook.attempts (tenant_id, endpoint_id, position, attempt, attempted_at, succeeded, status_code, error, latency_ms, response)
  select d.tenant_id, d.endpoint_id, d.position, d.attempts, d.attempted_at, true, d.status_code, d.error, d.latency_ms, d.response
  from webhook.deliveries as d
  where d.tenant_id = replay.tenant_id and d.endpoint_id = replay.endpoint_id and d.position = any (positions) and d.status = 'succeeded'
  on conflict do nothing;

  -- Throttled: so many a second. Of an order only the earliest is due; each that is settled frees the next.
  with replayed as (
    insert into webhook.deliveries as d (tenant_id, endpoint_id, position, event_type, subject, ordering_key, next_attempt_at)
    select replay.tenant_id, replay.endpoint_id, e.position, e.type, e.subject, k.ordering_key,
      case when k.ordering_key is not null and row_number() over (partition by k.ordering_key order by e.position) > 1 then 'infinity'
        else now() + make_interval(secs => (row_number() over (order by e.position) - 1) / a_second) end
    from ledger.events as e
    cross join lateral (select webhook.ordering_key(endpoint.ordering, e.subject)) as k (ordering_key)
    where e.tenant_id = replay.tenant_id and e.position = any (positions)
    order by e.position
    on conflict on constraint deliveries_pkey do update set
      status = 'pending', dead_at = null, ordering_key = excluded.ordering_key, next_attempt_at = excluded.next_attempt_at,
      attempts_before = d.attempts
    -- What waits for its first attempt will have it without this. Of an order, the others could not be told to wait for it.
    where d.status <> 'pending' or d.next_attempt_at is not null or excluded.ordering_key is not null
    returning d.position, d.ordering_key
  ), lines as (
    select r.ordering_key, max(r.position) as last from replayed as r where r.ordering_key is not null group by r.ordering_key
  )
  select array_agg(l.ordering_key), array_agg(l.last) into keys, lasts from lines as l;
  if keys is not null then
    perform webhook.line_up(replay.tenant_id, replay.endpoint_id, keys, lasts);
  end if;
  return counted;
end
$$;
comment on function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer) is
  'Delivers events of a range of positions to an endpoint again, or for the first time, 100 a second: all that it asks for, or those that '
  'became dead letters since failed_since; `most` at once. Returns how many, with those that the dispatcher is about to hand over anyway; '
  'dry_run: how many it would be. Raises webhook_endpoint_unknown, webhook_replay_invalid.';
grant execute on function webhook.replay(text, uuid, bigint, bigint, boolean, timestamptz, timestamptz, timestamptz, integer) to rowhouse_owner;
set role rowhouse_owner;

--@ function webhook.send_test(text, uuid, text)
set role rowhouse_dispatcher;
create or replace function webhook.send_test(tenant text, endpoint uuid, event_type text)
returns bigint
language plpgsql
volatile
security definer -- as webhook.replay()
set search_path = ''
parallel unsafe
as $$
declare
  drawn bigint := nextval('ledger.positions');
begin
  insert into webhook.deliveries (tenant_id, endpoint_id, position, event_type, subject, next_attempt_at, payload)
  values (tenant, endpoint, drawn, event_type, endpoint::text, now(), jsonb_build_object(
    'specversion', '1.0', 'id', 'test_' || drawn, 'source', '/tenants/' || tenant, 'type', event_type, 'subject', endpoint::text,
    'time', to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'datacontenttype', 'application/json',
    'tenantid', tenant, 'data', jsonb_build_object('test', true)));
  return drawn;
end
$$;
comment on function webhook.send_test(text, uuid, text) is
  'Part of v1.test_webhook_endpoint(): an event that is in no ledger, for one endpoint, outside of any order. Returns its position.';
grant execute on function webhook.send_test(text, uuid, text) to rowhouse_owner;
set role rowhouse_owner;

--@ function v1.replay_webhook_deliveries(uuid, bigint, bigint, timestamptz, timestamptz, timestamptz, boolean)
create or replace function v1.replay_webhook_deliveries(
  id uuid, from_position bigint default null, to_position bigint default null, from_time timestamptz default null,
  to_time timestamptz default null, failed_since timestamptz default null, dry_run boolean default false)
returns json
language plpgsql
volatile
security definer -- clients hold no grant to write deliveries
set search_path = ''
parallel unsafe
as $$
declare
  endpoint webhook.endpoints := webhook.require_endpoint(replay_webhook_deliveries.id);
  replayed bigint;
begin
  if num_nonnulls(from_position, to_position, from_time, to_time, failed_since) = 0 then
    perform request.raise_error('webhook_replay_invalid', 'nothing says which events', 'give positions, times, or failed_since');
  end if;
  replayed := webhook.replay(endpoint.tenant_id, endpoint.id, coalesce(from_position, 0), coalesce(to_position, 9223372036854775807), dry_run,
    failed_since, coalesce(from_time, '-infinity'), coalesce(to_time, 'infinity'));
  return json_build_object('endpoint_id', endpoint.id, 'events', replayed, 'dry_run', dry_run);
end
$$;
comment on function v1.replay_webhook_deliveries(uuid, bigint, bigint, timestamptz, timestamptz, timestamptz, boolean) is
$$Replay deliveries

For admins and owners. Events of a range of positions or times that the endpoint asks for are sent again, 100 a second, also those from before it was made
or from while it was disabled; with failed_since, only the dead ones since then. They keep their webhook-id. dry_run: how many it would be.$$;
grant execute on function v1.replay_webhook_deliveries(uuid, bigint, bigint, timestamptz, timestamptz, timestamptz, boolean) to tenant_user;

--@ function ledger.claim(text, integer, smallint[])
set role rowhouse_dispatcher;
create function ledger.claim(consumer text, max_slots integer, among smallint[] default null)
returns table (slot smallint, after_position bigint, settled_position bigint)
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_column
declare
  drawn bigint := (select last_value from ledger.positions);
  free record;
begin
  -- The sequence, the writers' locks and the entries have to be read in this order, each with a snapshot of its own.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = 'active_sql_transaction', message = 'ledger.claim() needs isolation level read committed';
  elsif not exists (select from ledger.consumers as c where c.consumer = claim.consumer) then
    raise exception using errcode = 'no_data_found', message = format('no consumer %s of the ledger', claim.consumer);
  elsif not ledger.is_behind(claim.consumer, drawn, among) then
    return; -- the usual look: it costs a third of one at the locks
  end if;
  for free in
    select s.slot, s.settled, s.holder from ledger.slots(claim.consumer, drawn) as s
    where s.holder is null or s.holder = pg_backend_pid()
    order by random() -- whoever takes a few slots at a time leaves none behind
  loop
    exit when max_slots = 0;
    continue when free.slot <> all (among);
    continue when coalesce(pg_sequence_last_value(ledger.cursor(claim.consumer, free.slot)), 0) >= free.settled;
    -- The session's, since the cursor moves after the commit. Held already: an earlier claim of this session was not settled.
    continue when free.holder is null and not pg_try_advisory_lock(ledger.cursor_key(claim.consumer, free.slot));
    after_position := coalesce(pg_sequence_last_value(ledger.cursor(claim.consumer, free.slot)), 0);
    if after_position >= free.settled then
      perform pg_advisory_unlock(ledger.cursor_key(claim.consumer, free.slot));
      continue;
    end if;
    slot := free.slot;
    settled_position := free.settled;
    max_slots := max_slots - 1;
    return next;
  end loop;
end
$$;
comment on function ledger.claim(text, integer, smallint[]) is
  'Takes up to max_slots free slots of a consumer (among those named, if any are), as locks of the session. To be handed over are the entries of each with '
  'after_position < position <= settled_position, or the first of them. Read them in a later statement: one that calls this function has a '
  'snapshot from before it. Then commit, and advance(): a crash in between hands the same entries over again.';
set role rowhouse_owner;
