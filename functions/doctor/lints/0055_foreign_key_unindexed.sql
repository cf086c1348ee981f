-- id: 0055
-- name: foreign_key_unindexed
-- level: warning
-- fix: migration
-- title: A foreign key has no index
-- why: Deleting or changing the referenced row reads the whole referencing table, under a lock; embedding in the other
--   direction does so on every request.

select format('%I on %s', c.conname, t.name) as object,
  pg_get_constraintdef(c.oid) as detail,
  format('create index if not exists %I on %s (%s);', left(regexp_replace(c.conname, '_fkey$', '') || '_idx', 63), t.name,
    (select string_agg(quote_ident(a.attname), ', ' order by key.nth) from unnest(c.conkey) with ordinality as key (attnum, nth)
     join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = key.attnum)) as remedy,
  jsonb_build_object('relation', t.name) as metadata
from pg_catalog.pg_constraint c
join tables t on t.oid = c.conrelid and not t.is_partition
join tables f on f.oid = c.confrelid
where c.contype = 'f' and c.conparentid = 0
  and (f.tenant_column is null or exists (
    select from unnest(c.conkey, c.confkey) as pair (own, other)
    where pair.own = t.tenant_attnum and pair.other = f.tenant_attnum))
  and not exists (
    select from pg_catalog.pg_index i
    where i.indrelid = t.oid and i.indpred is null
      and (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey)
