-- id: 0124
-- name: partition_missing
-- level: error
-- fix: hand
-- title: Some tenants have no partition
-- why: A tenant whose name hashes to what is missing cannot write a row, and finds out on its first one. It comes of
--   partitions made by hand before tenancy.protect(), which then adds none, or of one that was dropped.

select t.name as object,
  format('its partitions take %s of the names', coalesce(round(100 * sum(1 / bound.modulus), 1) || ' percent', 'none')) as detail,
  coalesce((
    select string_agg(format('create table %I.%I partition of %s for values with (modulus %s, remainder %s);',
      t.schema, format('%s_p%s', t.short_name, lpad(n::text, 2, '0')), t.name, max(bound.modulus), n), ' ')
    from generate_series(0, max(bound.modulus)::int - 1) as n where n <> all (array_agg(bound.remainder))),
    format('select tenancy.add_partitions(%L, 32);', t.name)) as remedy,
  jsonb_build_object('relation', t.name) as metadata
from tables t
join pg_catalog.pg_partitioned_table p on p.partrelid = t.oid and p.partstrat = 'h'
left join pg_catalog.pg_inherits i on i.inhparent = t.oid
left join pg_catalog.pg_class c on c.oid = i.inhrelid
left join lateral (
  select found[1]::numeric as modulus, found[2]::int as remainder
  from regexp_match(pg_get_expr(c.relpartbound, c.oid), 'modulus (\d+), remainder (\d+)') as found) as bound on true
where not t.is_partition
group by t.oid, t.name, t.schema, t.short_name
having coalesce(sum(1 / bound.modulus), 0) < 0.999999
