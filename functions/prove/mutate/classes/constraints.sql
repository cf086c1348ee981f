-- class: constraint

select c.conname || ' on ' || r.name as element, v.how, v.sql, v.undo, case when v.how = 'dropped' then r.name end as author
from pg_catalog.pg_constraint c
join relations r on r.oid = c.conrelid and not r.is_partition
cross join lateral (
  -- References to it go and come with it.
  select coalesce(string_agg(format('alter table %s drop constraint %I; ', f.conrelid::regclass, f.conname), '' order by f.oid), '') as unlink,
    coalesce(string_agg(format('; alter table %s add constraint %I %s', f.conrelid::regclass, f.conname, pg_get_constraintdef(f.oid)), '' order by f.oid), '') as relink
  from pg_catalog.pg_constraint f where f.contype = 'f' and f.conparentid = 0 and f.conindid = c.conindid and f.confrelid = c.conrelid and c.contype in ('p', 'u')
) as links
cross join lateral (
  select string_agg(quote_ident(a.attname), ', ' order by nth) as columns,
    string_agg(quote_ident(a.attname), ', ' order by nth = 1, nth) as behind, count(*) as count,
    min(a.attname) filter (where nth = 1 and (a.attname = 'tenant_id' or a.atttypid = to_regtype('tenancy.tenant_id'))) as tenant
  from unnest(c.conkey) with ordinality as k (attnum, nth)
  join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.attnum
) as key
cross join lateral (
  select format('alter table %s drop constraint %I', r.name, c.conname) as dropped,
    format('alter table %s add constraint %I %s', r.name, c.conname, pg_get_constraintdef(c.oid)) as added
) as as_is
cross join lateral (
  select 'dropped' as how, links.unlink || as_is.dropped as sql, as_is.added as undo
  where c.contype in ('u', 'f', 'c', 'x') and links.unlink = ''
  union all
  select 'dropped, with what refers to it', links.unlink || as_is.dropped, as_is.added || links.relink
  where c.contype = 'p' or c.contype = 'u' and links.unlink <> ''
  union all
  select 'the tenant not first', links.unlink || as_is.dropped || format('; alter table %s add constraint %I %s (%s)', r.name, c.conname,
      case c.contype when 'p' then 'primary key' else 'unique' end, key.behind) || links.relink,
    links.unlink || as_is.dropped || '; ' || as_is.added || links.relink
  where c.contype in ('p', 'u') and key.tenant is not null and key.count > 1
  union all
  select 'the tenant can be null', format('%s%s; alter table %s alter column %I drop not null', links.unlink, as_is.dropped, r.name, key.tenant),
    format('alter table %s alter column %I set not null; ', r.name, key.tenant) || as_is.added || links.relink
  where c.contype = 'p' and key.tenant is not null
  union all
  select 'not enforced', format('alter table %s alter constraint %I not enforced', r.name, c.conname),
    format('alter table %s alter constraint %I enforced', r.name, c.conname)
  where c.contype = 'f'
) as v
where c.conparentid = 0 and c.conislocal
union all
select c.conname || ' on domain ' || c.contypid::regtype, 'dropped', format('alter domain %s drop constraint %I', c.contypid::regtype, c.conname),
  format('alter domain %s add constraint %I %s', c.contypid::regtype, c.conname, pg_get_constraintdef(c.oid)), c.contypid::regtype::text
from pg_catalog.pg_constraint c join schemas s on s.oid = c.connamespace where c.contypid <> 0 and c.contype = 'c'
union all
select 'index ' || i.indexrelid::regclass, 'dropped', format('drop index %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid), r.name
from pg_catalog.pg_index i join relations r on r.oid = i.indrelid and not r.is_partition
where i.indisunique and not exists (select from pg_catalog.pg_constraint c where c.conindid = i.indexrelid)
union all
-- What says whose a row is, where nobody says so.
select format('%s.%I', r.name, a.attname), 'no default', format('alter table %s alter column %I drop default', r.name, a.attname),
  format('alter table %s alter column %I set default %s', r.name, a.attname, pg_get_expr(d.adbin, d.adrelid)), null
from pg_catalog.pg_attrdef d join relations r on r.oid = d.adrelid and not r.is_partition
join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum and a.attgenerated = ''
where pg_get_expr(d.adbin, d.adrelid) ~ '\mrequest\.'
union all
select format('%s.%I', r.name, a.attname), 'a default that anyone could have written', format('alter table %s alter column %I set default %L', r.name, a.attname, 't_prove'),
  format('alter table %s alter column %I set default %s', r.name, a.attname, pg_get_expr(d.adbin, d.adrelid)), null
from pg_catalog.pg_attrdef d join relations r on r.oid = d.adrelid and not r.is_partition
join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum and a.attgenerated = ''
where pg_get_expr(d.adbin, d.adrelid) ~ '\mrequest\.'
