-- Which of these built-in functions do not always give the same value; and into which types text is read with such a one.
select
  array(select oid::integer from pg_catalog.pg_proc
    where oid = any ($1::oid[]) and provolatile <> 'i' and prokind = 'f' and proname <> all ($3::text[])) as changing,
  array(select pg_type.oid::integer from pg_catalog.pg_type join pg_catalog.pg_proc on pg_proc.oid = typinput
    where pg_type.oid = any ($2::oid[]) and provolatile <> 'i' and proname not in ('interval_in', 'enum_in')) as unsteady
