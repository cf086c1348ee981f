-- $1 the schema and $2 the relation or function of a request, $3 the caller's role, $4 what it wanted: insert, update or call.
-- Of the error: $5 its column, $6 its table, $7 its constraint.
with relation as (
  select c.oid from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = $1 and c.relname = $2 and c.relkind in ('v', 'r', 'p') and $4 <> 'call'
), shown as (
  select a.attname, a.attnum, has_column_privilege($3::name, a.attrelid, a.attnum, $4) as writable
  from pg_catalog.pg_attribute as a join relation on a.attrelid = relation.oid
  where a.attnum > 0 and not a.attisdropped
    and has_column_privilege($3::name, a.attrelid, a.attnum, 'select, ' || $4)
), beneath as (
  -- The table of the error, where it is the one that the relation shows, or a partition of that.
  select t.oid from pg_catalog.pg_class as t cross join relation
  where t.relname = $6 and exists (
    select from pg_catalog.pg_rewrite as r join pg_catalog.pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
    where r.ev_class = relation.oid and d.refclassid = 'pg_class'::regclass and d.refobjid = coalesce(pg_partition_root(t.oid), t.oid))
), function as (
  select p.oid, p.proargnames, p.proargmodes, p.pronargdefaults, p.proname
  from pg_catalog.pg_proc as p join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  where n.nspname = $1 and has_function_privilege($3::name, p.oid, 'execute')
    and p.proname = case $4 when 'call' then $2 else 'create_' || regexp_replace($2, 's$', '') end
  order by p.pronargs limit 1
)
select
  array(select attname::text from shown where writable order by attnum) as writable,
  array(
    select attname::text from shown
    where attname = $5 and ($6 is null or exists (select from beneath))
      or attname in (
        select a.attname from beneath join pg_catalog.pg_constraint as c on c.conrelid = beneath.oid
        join pg_catalog.pg_attribute as a on a.attrelid = c.conrelid and a.attnum = any (c.conkey)
        where c.conname = $7 and c.contype = 'c')
    order by attnum) as named,
  (select proname::text from function where $4 <> 'call') as maker,
  (select array(
     select name from unnest(proargnames, proargmodes) with ordinality as a (name, mode, nth)
     where coalesce(mode, 'i') in ('i', 'b', 'v') order by nth)
   from function where $4 = 'call') as arguments,
  coalesce((select pronargdefaults::int from function), 0) as optional
