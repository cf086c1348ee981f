--@ table ledger.event_sources
create table ledger.event_sources (
  name text collate "C" not null,
  relation regclass,
  columns text[],
  shown_after bigint[],
  policy_role text collate "C",
  policy_version text collate "C",
  read_role text collate "C",
  version integer not null default 1,
  begins_after bigint[] not null default '{0}',
  description text,
  schema jsonb not null,
  constraint event_sources_pkey primary key (name),
  constraint event_sources_read_role_known check (read_role in ('viewer', 'member', 'admin', 'owner')),
  constraint event_sources_version_positive check (version > 0),
  constraint event_sources_versions_begin check (cardinality(begins_after) = version and (relation is null or begins_after[1] = 0)),
  constraint event_sources_table_has_columns check (
    (relation is null) = (columns is null) and cardinality(columns) is not distinct from cardinality(shown_after))
);
comment on table ledger.event_sources is
  'What makes events: tables that clients read through v1 (tenancy.expose), and declared types of what is emitted. Nothing else leaves the ledger.';
comment on column ledger.event_sources.name is 'The table as ledger.entries names it, or the type of what is emitted.';
comment on column ledger.event_sources.columns is 'The only columns that an event shows: those that clients may read in the v1 view.';
comment on column ledger.event_sources.shown_after is
  'Of each column, the position behind which entries show it. Before it was added its name may have been that of another, which was hidden.';
comment on column ledger.event_sources.policy_role is 'Who may read the table by protect()''s policy, in its policy_version; null: the policy is another.';
comment on column ledger.event_sources.policy_version is 'ledger.row_version() of that policy, so that it need not be printed and compared again.';
comment on column ledger.event_sources.read_role is 'The least role that sees its events, as it was given; null: whoever may read every row of the table.';
comment on column ledger.event_sources.version is 'Rises when a reader of the schema before could not read what comes: the last part of dataschema.';
comment on column ledger.event_sources.begins_after is
  'Of each version, the position behind which entries are of it. Where only columns were taken away, it begins where the one before did: they '
  'are taken from entries of before, too. What was emitted before its type was declared is of none.';
comment on column ledger.event_sources.schema is 'JSON Schema of a row of the table, or of the emitted data.';
grant select on ledger.event_sources to tenant_user, rowhouse_dispatcher;

--@ view ledger.sources
create view ledger.sources with (security_invoker = true) as
  select s.name, s.relation, s.columns, s.version, coalesce(s.read_role, case
      when not exists (select from pg_catalog.pg_policy as p where p.polrelid = s.relation and not p.polpermissive and p.polcmd in ('r', '*'))
      then (
        select case when s.policy_version = ledger.row_version(p.ctid, p.xmin) then s.policy_role else ledger.policy_role(s.relation) end
        from pg_catalog.pg_policy as p where p.polrelid = s.relation and p.polname = 'A member reads the rows of their tenant')
      end, 'owner') as least_role
  from ledger.event_sources as s;
comment on view ledger.sources is
  'ledger.event_sources with the least role that sees its events as the policies are now: no event can be asked which rows one may read, so '
  'where a policy keeps some from some, none but owners see any.';
grant select on ledger.sources to tenant_user, rowhouse_dispatcher;

--@ table ledger.past_event_schemas
create table ledger.past_event_schemas (
  name text collate "C" not null,
  version integer not null,
  schema jsonb not null,
  replaced_at timestamptz not null default now(),
  constraint past_event_schemas_pkey primary key (name, version)
);
comment on table ledger.past_event_schemas is 'The schemas that earlier versions of ledger.event_sources had.';
grant select on ledger.past_event_schemas to tenant_user;

--@ function ledger.keep_event_source(ledger.event_sources)
-- A version begins behind the last position that was drawn when this is called; what matters of an entry is when its own was drawn, however late it
-- commits. Of a table: `alter table` waits for whoever has changed its rows, and keeps out who would, until its transaction ends. So
-- no entry is of a wrong version if this is called in that transaction, before that writes rows of its own; called later, what was
-- written in between counts as of the version before. Of an emitted type: nothing waits, and what is emitted between this call and its commit
-- counts as of the new version, of which its producer could not know. Hence the last statement of a short transaction, before producers change.
create function ledger.keep_event_source(wanted ledger.event_sources)
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

--@ function ledger.add_event_source(regclass,regclass,text,text[])
create function ledger.add_event_source(target regclass, api_view regclass, read_role text default null, columns text[] default null)
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
  source.name := (
    select format('%I.%I', n.nspname, c.relname) from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace where c.oid = target);
  source.relation := target;
  if read_role is null and not ledger.shows_each_row(api_view, target) then
    raise exception using errcode = 'invalid_table_definition',
      message = format('%s does not show each row of %s, and its events would', api_view, target),
      hint = 'say who may see them: ledger.add_event_source(…, read_role => ''owner'')';
  end if;
  source.columns := coalesce(columns, ledger.plain_columns(api_view, target));
  -- Where no role is given, the policies are looked at again whenever an event is read (ledger.sources).
  source.read_role := read_role;
  source.policy_role := ledger.policy_role(target);
  source.policy_version := (
    select ledger.row_version(ctid, xmin)
    from pg_catalog.pg_policy where polrelid = target and polname = 'A member reads the rows of their tenant');
  source.version := 1;
  source.description := split_part(coalesce(pg_catalog.obj_description(api_view, 'pg_class'), pg_catalog.obj_description(target, 'pg_class')), e'\n', 1);
  source.schema := ledger.row_schema(target, api_view, source.columns);
  perform ledger.keep_event_source(source);
end
$$;
comment on function ledger.add_event_source(regclass, regclass, text, text[]) is
  'Lets a table make events, of the columns that clients may read in its view as they are. tenancy.expose() calls it; call it for a view made '
  'by hand, and again when the view or its grants change. read_role: the least role that sees them; null: as protect() was told, or owner where '
  'another policy keeps rows from some. columns: instead of those of the view. Safe to repeat. Raises 42P16 for a view that leaves rows out, unless a '
  'read_role is given.';

--@ function ledger.declare_event_type(text,text,jsonb,text)
create function ledger.declare_event_type(type text, description text, schema jsonb default '{}', read_role text default 'viewer')
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
