-- The fingerprint of the catalogue: one row of text for each thing that a migration can make, sorted. Two databases with the
-- same rows have the same schema and the same privileges. Run it with an empty search_path, so that every name is qualified.
-- Left out: what no migration makes (system schemas, extensions, pgboss, roles), dbmate's table, and what partitions inherit.
-- Columns compare by name: a column that was dropped and added again stands last, and is the same column.

with schemas as (
  select oid, nspname, nspowner, nspacl from pg_catalog.pg_namespace
  where nspname !~ '^pg_' and nspname not in ('information_schema', 'extensions', 'pgboss')
),
relations as (
  select c.*, c.oid::regclass::text as name,
    case c.relkind when 'r' then 'table' when 'p' then 'table' when 'f' then 'table' when 'S' then 'sequence'
      when 'v' then 'view' when 'm' then 'materialized view' when 'c' then 'type' else 'index' end as kind
  from pg_catalog.pg_class c join schemas s on s.oid = c.relnamespace
  where c.oid::regclass::text <> 'public.schema_migrations' and c.relname <> 'schema_migrations_pkey'
),
functions as (
  select p.*, p.oid::regprocedure::text as name from pg_catalog.pg_proc p join schemas s on s.oid = p.pronamespace
),
types as (
  select t.*, t.oid::regtype::text as name from pg_catalog.pg_type t join schemas s on s.oid = t.typnamespace
  where t.typtype in ('d', 'e', 'r')
),
-- Null privileges are the built-in defaults: written out, so that granting and revoking again compares equal.
privileges (name, owner, acl) as (
  select 'schema ' || quote_ident(nspname), nspowner, coalesce(nspacl, acldefault('n', nspowner)) from schemas
  union all
  select kind || ' ' || name, relowner, coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner))
  from relations where kind not in ('index', 'type')
  union all
  select 'column ' || r.name || '.' || quote_ident(a.attname), r.relowner, a.attacl
  from relations r join pg_catalog.pg_attribute a on a.attrelid = r.oid where not a.attisdropped and a.attacl <> '{}'
  union all
  select 'function ' || name, proowner, coalesce(proacl, acldefault('f', proowner)) from functions
  union all
  select 'type ' || name, typowner, coalesce(typacl, acldefault('T', typowner)) from types
)
select row from (
  select 'schema ' || quote_ident(nspname) as row from schemas
  union all
  select concat_ws(' ', kind, name, 'persistence', relpersistence, 'rls', relrowsecurity, 'forced', relforcerowsecurity,
    'replica identity', relreplident, 'options', reloptions, 'partition by', pg_get_partkeydef(oid),
    'of', (select string_agg(inhparent::regclass::text, ', ' order by inhseqno) from pg_catalog.pg_inherits where inhrelid = relations.oid),
    pg_get_expr(relpartbound, oid), case when kind in ('view', 'materialized view') then pg_get_viewdef(oid) end)
  from relations where kind <> 'index'
  union all
  select concat_ws(' ', 'column', r.name || '.' || quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
    case when a.attnotnull then 'not null' end, 'collate ' || nullif(a.attcollation, 0)::regcollation,
    case when a.attgenerated <> '' then 'generated ' || a.attgenerated::text else 'default' end, pg_get_expr(d.adbin, d.adrelid),
    'identity ' || nullif(a.attidentity, '')::text, 'storage', a.attstorage, nullif(a.attcompression, ''), a.attoptions)
  from relations r
  join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where r.kind not in ('index', 'sequence')
  union all
  select concat_ws(' ', 'constraint', quote_ident(conname), 'on', coalesce(nullif(conrelid, 0)::regclass::text, contypid::regtype::text),
    pg_get_constraintdef(c.oid), case when not convalidated then 'unvalidated' end)
  from pg_catalog.pg_constraint c join schemas s on s.oid = c.connamespace
  where conparentid = 0 and (conislocal or contypid <> 0) and conrelid is distinct from to_regclass('public.schema_migrations')
  union all
  select concat_ws(' ', pg_get_indexdef(i.indexrelid), case when not i.indisvalid then 'invalid' end,
    case when i.indisclustered then 'clustered' end)
  from relations r join pg_catalog.pg_index i on i.indexrelid = r.oid where not r.relispartition
  union all
  select concat_ws(' ', 'policy', quote_ident(polname), 'on', r.name, case when polpermissive then 'permissive' else 'restrictive' end,
    'for', polcmd, 'to', (select string_agg(coalesce(rolname, 'public'), ', ' order by rolname)
      from unnest(polroles) as member left join pg_catalog.pg_roles on pg_roles.oid = member),
    'using', pg_get_expr(polqual, polrelid), 'with check', pg_get_expr(polwithcheck, polrelid))
  from pg_catalog.pg_policy p join relations r on r.oid = p.polrelid
  union all
  select concat_ws(' ', pg_get_triggerdef(t.oid), 'enabled', tgenabled)
  from pg_catalog.pg_trigger t join relations r on r.oid = t.tgrelid where not tgisinternal and tgparentid = 0
  union all
  select concat_ws(' ', 'event trigger', quote_ident(evtname), evtevent, evtfoid::regproc, evttags, evtenabled) from pg_catalog.pg_event_trigger
  union all
  select pg_get_ruledef(w.oid) from pg_catalog.pg_rewrite w join relations r on r.oid = w.ev_class where w.rulename <> '_RETURN'
  union all
  select pg_get_statisticsobjdef(e.oid) from pg_catalog.pg_statistic_ext e join schemas s on s.oid = e.stxnamespace
  union all
  select case when prokind = 'a' then 'aggregate ' || name else pg_get_functiondef(oid) end from functions
  union all
  select concat_ws(' ', 'type', name, typtype, format_type(nullif(typbasetype, 0), typtypmod), case when typnotnull then 'not null' end,
    'collate ' || nullif(typcollation, 0)::regcollation, 'default', typdefault,
    (select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) from pg_catalog.pg_enum where enumtypid = types.oid))
  from types
  union all
  select concat_ws(' ', 'sequence', r.name, q.seqtypid::regtype, 'start', seqstart, 'by', seqincrement, 'min', seqmin, 'max', seqmax,
    'cache', seqcache, case when seqcycle then 'cycle' end, 'owned by', (select string_agg(d.refobjid::regclass || '.' || a.attname, ', ')
      from pg_catalog.pg_depend d join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
      where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = r.oid and d.deptype in ('a', 'i')))
  from relations r join pg_catalog.pg_sequence q on q.seqrelid = r.oid
  union all
  select concat_ws(' ', 'comment on', o.type, o.identity, 'is', quote_literal(d.description))
  from pg_catalog.pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) o
  where d.objoid >= 16384 and o.type <> 'extension' and o.identity !~ '^(extensions|pgboss)(\.|$)'
  union all
  select concat_ws(' ', 'default privileges of', defaclrole::regrole, 'in', coalesce(nullif(defaclnamespace, 0)::regnamespace::text, 'all schemas'),
    'on', defaclobjtype, (select string_agg(item::text, ', ' order by item::text) from unnest(defaclacl) as item))
  from pg_catalog.pg_default_acl
  where not exists (select from pg_catalog.pg_namespace where pg_namespace.oid = defaclnamespace and nspname in ('extensions', 'pgboss'))
  union all
  select concat_ws(' ', 'owner of', name, 'is', owner::regrole) from privileges where name !~ '^column '
  union all
  select concat_ws(' ', 'grant on', p.name, 'to', coalesce(r.rolname, 'public'), string_agg(
    lower(g.privilege_type) || case when g.is_grantable then ' with grant option' else '' end, ', ' order by g.privilege_type))
  from privileges p, aclexplode(p.acl) g left join pg_catalog.pg_roles r on r.oid = g.grantee
  group by p.name, r.rolname
) as fingerprint
order by row collate "C";
