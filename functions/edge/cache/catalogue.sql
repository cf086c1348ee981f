-- What answers can rest on: relations and their policies, functions that are ours, foreign keys. Expressions come as the parser
-- left them: pg_depend alone does not name built-in functions, such as now().
with relation as (
  select pg_class.oid, nspname, relname, relkind, reltype,
    relkind = 'r' and exists (select from pg_catalog.pg_inherits where inhparent = pg_class.oid) as inherited
  from pg_catalog.pg_class join pg_catalog.pg_namespace on pg_namespace.oid = relnamespace
  where relkind in ('r', 'p', 'v', 'm', 'f') and relpersistence <> 't' and not relispartition
    and nspname !~ '^pg_' and nspname not in ('information_schema', 'pgboss')
)
select
  (select json_agg(json_build_object(
    'oid', oid::bigint, 'schema', nspname, 'name', relname, 'qualified', format('%I.%I', nspname, relname), 'kind', relkind,
    'rowType', reltype::bigint, 'inherited', inherited,
    -- Statement triggers on insert (4), delete (8) and update (16), unconditional, that write the ledger.
    'recorded', (
      select coalesce(bit_or(tgtype), 0) & 28 = 28
      from pg_catalog.pg_trigger
      join pg_catalog.pg_proc on pg_proc.oid = tgfoid
      join pg_catalog.pg_namespace on pg_namespace.oid = pronamespace
      where tgrelid = relation.oid and pg_namespace.nspname = 'ledger' and proname = 'record'
        and tgenabled in ('O', 'A') and tgtype & 1 = 0 and tgqual is null and tgattr = ''),
    'expressions', array(
      select ev_action::text from pg_catalog.pg_rewrite where ev_class = relation.oid and ev_type = '1'
      union all
      select polqual::text from pg_catalog.pg_policy
      where polrelid = relation.oid and polcmd in ('r', '*') and polqual is not null))) from relation) as relations,
  (select json_agg(json_build_object(
    'oid', pg_proc.oid::bigint, 'schema', nspname, 'name', proname, 'volatility', provolatile, 'kind', prokind,
    'firstArgument', coalesce(proargtypes[0]::bigint, 0),
    -- PostgREST has an aggregate that returns a domain called as a media type make answers of that type.
    'mediaType', case when prokind = 'a' then (
      select lower(typname) from pg_catalog.pg_type where pg_type.oid = prorettype and typtype = 'd' and typname like '%/%') end,
    'comment', pg_catalog.obj_description(pg_proc.oid, 'pg_proc')))
   from pg_catalog.pg_proc join pg_catalog.pg_namespace on pg_namespace.oid = pronamespace
   where pg_proc.oid >= 16384) as functions,
  (select json_agg(json_build_object(
    'name', conname, 'from', conrelid::bigint, 'to', confrelid::bigint, 'columns', array(
      select attname from pg_catalog.pg_attribute
      where attrelid = conrelid and attnum = any (conkey) or attrelid = confrelid and attnum = any (confkey))))
   from pg_catalog.pg_constraint where contype = 'f' and conparentid = 0) as keys
