-- What the generators share, read from the catalogue itself and not from the doctor's view of it: what the doctor overlooks has to
-- be found here. Run with an empty search_path, so that every name is qualified.

with recursive schemas as (
  select oid, nspname::text as name from pg_catalog.pg_namespace
  where nspname !~ '^pg_' and nspname not in ('information_schema', 'extensions', 'pgboss')
),
-- Of partitions that are all alike, the first: the rest would be the same mutants again.
relations as (
  select c.oid, c.oid::regclass::text as name, c.relname::text as short_name, s.name as schema, c.relkind as kind, c.relispartition as is_partition,
    c.relrowsecurity as has_rls, c.relforcerowsecurity as forces_rls, c.reloptions as options, c.relowner as owner,
    case when c.relispartition then (select inhparent from pg_catalog.pg_inherits where inhrelid = c.oid) end as parent
  from pg_catalog.pg_class c join schemas s on s.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm') and c.oid::regclass::text <> 'public.schema_migrations'
    and (not c.relispartition or c.oid = (
      select p.oid from pg_catalog.pg_inherits i join pg_catalog.pg_class p on p.oid = i.inhrelid
      where i.inhparent = (select inhparent from pg_catalog.pg_inherits where inhrelid = c.oid) order by p.relname limit 1))
),
-- Of sequences that are alike but for the number at the end of their names, such as a consumer's cursors, the first as well.
sequences as (
  select distinct on (q.relnamespace, regexp_replace(q.relname, '\d+$', ''), q.relowner, q.relacl::text) q.oid, q.oid::regclass::text as name
  from pg_catalog.pg_class q join schemas s on s.oid = q.relnamespace where q.relkind = 'S'
  order by q.relnamespace, regexp_replace(q.relname, '\d+$', ''), q.relowner, q.relacl::text, q.relname
),
functions as (
  select p.*, p.oid::regprocedure::text as name, s.name as schema, pg_get_functiondef(p.oid) as definition,
    t.typname in ('trigger', 'event_trigger') as is_trigger
  from pg_catalog.pg_proc p join schemas s on s.oid = p.pronamespace join pg_catalog.pg_type t on t.oid = p.prorettype
  where p.prokind = 'f'
),
-- The tables that a view shows, itself not among them.
beneath as (
  select distinct v.oid as view, d.refobjid as base
  from relations v
  join pg_catalog.pg_rewrite w on w.ev_class = v.oid
  join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
    and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid <> v.oid
  join pg_catalog.pg_class b on b.oid = d.refobjid and b.relkind in ('r', 'p')
  where v.kind = 'v'
),
-- From where attacks come: whoever has a token or none, and whoever has a login's password.
clients (grantee, role) as (values ('anon', 'anon'), ('public', null), ('tenant_user', 'tenant_user'), ('operator', 'operator')),
services (role) as (values ('authenticator'), ('rowhouse_worker'), ('rowhouse_edge')),
outsiders (role) as (values ('anon'), ('tenant_user'), ('operator'), ('authenticator'), ('rowhouse_worker'), ('rowhouse_edge'))
