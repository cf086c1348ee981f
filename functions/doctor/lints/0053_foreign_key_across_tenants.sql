-- id: 0053
-- name: foreign_key_across_tenants
-- level: error
-- fix: hand
-- title: A foreign key can point into another tenant
-- why: A row of one tenant can reference, block or cascade with a row of another, and the error tells whether that row
--   exists: foreign keys are checked without policies.

select format('%I on %s', c.conname, t.name) as object,
  format('%s: nothing keeps both rows in one tenant', pg_get_constraintdef(c.oid)) as detail,
  format('alter table %s drop constraint if exists %I;', t.name, c.conname) as remedy,
  jsonb_build_object('relation', t.name, 'references', f.name) as metadata
from pg_catalog.pg_constraint c
join tables t on t.oid = c.conrelid and not t.is_partition
join tables f on f.oid = c.confrelid and f.tenant_column is not null
where c.contype = 'f' and c.conparentid = 0 and not exists (
  select from unnest(c.conkey, c.confkey) as pair (own, other)
  where pair.own = t.tenant_attnum and pair.other = f.tenant_attnum)
