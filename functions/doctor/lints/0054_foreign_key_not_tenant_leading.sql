-- id: 0054
-- name: foreign_key_not_tenant_leading
-- level: warning
-- fix: hand
-- title: A foreign key does not lead with the tenant
-- why: tenancy.protect() refuses it: the index that serves it would not lead with tenant_id, and an export of the tenant
--   would leave what it references behind.

select format('%I on %s', c.conname, t.name) as object,
  pg_get_constraintdef(c.oid) as detail,
  format('alter table %s drop constraint if exists %I;', t.name, c.conname) as remedy,
  jsonb_build_object('relation', t.name, 'references', f.name) as metadata
from pg_catalog.pg_constraint c
join tables t on t.oid = c.conrelid and t.is_tenant_data and not t.is_partition
join tables f on f.oid = c.confrelid
where c.contype = 'f' and c.conparentid = 0 and c.conkey[1] <> t.tenant_attnum
  and (f.tenant_column is null or exists (
    select from unnest(c.conkey, c.confkey) as pair (own, other)
    where pair.own = t.tenant_attnum and pair.other = f.tenant_attnum))
