-- id: 0125
-- name: foreign_key_nulls_tenant
-- level: warning
-- fix: hand
-- title: A foreign key empties tenant_id
-- why: `on delete set null` without a list empties every column of the key, tenant_id too, which cannot be null: what is
--   referenced can never be deleted. Where tenant_id may be null, the row belongs to nobody from then on.

select format('%I on %s', c.conname, t.name) as object,
  pg_get_constraintdef(c.oid) as detail,
  format('alter table %s drop constraint %I; alter table %1$s add constraint %2$I %s;', t.name, c.conname,
    regexp_replace(regexp_replace(pg_get_constraintdef(c.oid), ' ON UPDATE SET (NULL|DEFAULT)', ''), '(ON DELETE SET (NULL|DEFAULT)).*',
      format('\1 (%s)', (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_catalog.pg_attribute a
        where a.attrelid = t.oid and a.attnum = any (c.conkey) and a.attnum <> t.tenant_attnum)))) as remedy,
  jsonb_build_object('relation', t.name) as metadata
from pg_catalog.pg_constraint c
join tables t on t.oid = c.conrelid and not t.is_partition
where c.contype = 'f' and c.conparentid = 0 and t.tenant_attnum = any (c.conkey)
  and (c.confupdtype in ('n', 'd')
    or c.confdeltype in ('n', 'd') and (c.confdelsetcols is null or t.tenant_attnum = any (c.confdelsetcols)))
