/** What is exposed ($1: schemas), what lies beneath it, and what would fill it. One row, one JSON document. */
export const CATALOGUE = `
with recursive api (role) as (select rolname from pg_roles where rolname in ('anon', 'tenant_user', 'operator')),
exposed as (
  select c.oid, c.relkind, c.relname, n.nspname, n.oid as nsp from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = any ($1) and c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
),
beneath (view, oid) as (
  select oid, oid from exposed
  union
  select b.view, d.refobjid from beneath b
  join pg_rewrite w on w.ev_class = b.oid
  join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
  join pg_class c on c.oid = d.refobjid
  where d.refobjid <> b.oid and c.relkind in ('r', 'p', 'v', 'm', 'f')
    and c.relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema')
),
-- Every foreign key's other side as well: a row needs its parents.
wanted (oid) as (
  select distinct coalesce(pg_partition_root(b.oid)::oid, b.oid) from beneath b join pg_class c on c.oid = b.oid where c.relkind in ('r', 'p')
  union
  select f.confrelid from wanted w join pg_constraint f on f.conrelid = w.oid and f.contype = 'f' and f.conparentid = 0
),
based (oid, base, depth) as (
  select oid, oid, 0 from pg_type
  union all
  select b.oid, t.typbasetype, depth + 1 from based b join pg_type t on t.oid = b.base where t.typtype = 'd'
),
bases as (select distinct on (oid) oid, base from based order by oid, depth desc),
types as (
  select b.oid, json_build_object('name', t.typname, 'category', t.typcategory, 'kind', t.typtype,
    'element', e.typname, 'elementLabels', (select json_agg(enumlabel order by enumsortorder) from pg_enum where enumtypid = e.oid),
    'labels', (select json_agg(enumlabel order by enumsortorder) from pg_enum where enumtypid = t.oid),
    'subtype', (select typname from pg_range r join pg_type s on s.oid = rngsubtype where t.oid in (rngtypid, rngmultitypid))) as type
  from bases b join pg_type t on t.oid = b.base
  left join pg_type ed on ed.oid = t.typelem and t.typcategory = 'A'
  left join bases eb on eb.oid = ed.oid left join pg_type e on e.oid = eb.base
),
domain_checks as (
  select b.oid, c.conname, pg_get_constraintdef(c.oid) as definition
  from based b join pg_constraint c on c.contypid = b.base and c.contype = 'c'
),
tables as (
  select c.oid, c.oid::regclass::text as name, json_build_object(
    'name', c.oid::regclass::text,
    'forced', c.relforcerowsecurity,
    'columns', (select json_agg(json_build_object(
        'name', a.attname, 'type', t.type, 'declared', format_type(a.atttypid, a.atttypmod),
        'modifier', greatest(a.atttypmod, (select max(typtypmod) from based bb join pg_type dt on dt.oid = bb.base where bb.oid = a.atttypid)),
        'required', a.attnotnull, 'hasDefault', a.atthasdef or a.attidentity <> '', 'generated', a.attgenerated <> '',
        'identity', a.attidentity, 'comment', col_description(c.oid, a.attnum)) order by a.attnum)
      from pg_attribute a join types t on t.oid = a.atttypid where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
    'tenantColumn', (select a.attname from pg_attribute a where a.attrelid = c.oid and not a.attisdropped
      and (a.attname = 'tenant_id' or a.atttypid = to_regtype('tenancy.tenant_id')) order by a.attname = 'tenant_id' desc, a.attnum limit 1),
    'keys', (select json_agg(json_build_object('name', i.indexrelid::regclass::text, 'primary', i.indisprimary,
        'columns', (select json_agg(a.attname order by k.nth) from unnest(i.indkey) with ordinality k (attnum, nth)
          join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum and k.attnum > 0)) order by i.indisprimary desc, i.indexrelid::regclass::text)
      from pg_index i where i.indrelid = c.oid and i.indisunique),
    'foreignKeys', (select json_agg(json_build_object('name', f.conname, 'references', f.confrelid::regclass::text,
        'columns', (select json_agg(a.attname order by k.nth) from unnest(f.conkey) with ordinality k (attnum, nth)
          join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum),
        'referenced', (select json_agg(a.attname order by k.nth) from unnest(f.confkey) with ordinality k (attnum, nth)
          join pg_attribute a on a.attrelid = f.confrelid and a.attnum = k.attnum)) order by f.conname)
      from pg_constraint f where f.conrelid = c.oid and f.contype = 'f' and f.conparentid = 0),
    'checks', (select json_agg(k order by k ->> 'name') from (
        select json_build_object('name', conname, 'definition', pg_get_constraintdef(k.oid),
          'columns', (select json_agg(a.attname) from pg_attribute a where a.attrelid = c.oid and a.attnum = any (k.conkey))) as k
        from pg_constraint k where k.conrelid = c.oid and k.contype in ('c', 'x')
        union all
        select json_build_object('name', d.conname, 'definition', regexp_replace(d.definition, '\\mVALUE\\M', quote_ident(a.attname), 'g'),
          'columns', json_build_array(a.attname))
        from pg_attribute a join domain_checks d on d.oid = a.atttypid where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as ks)
  ) as definition
  from pg_class c join (select distinct oid from wanted) w on w.oid = c.oid
),
relations as (
  select json_build_object('schema', e.nspname, 'name', e.relname, 'kind', e.relkind,
    'bases', (select array_to_json(array_agg(distinct coalesce(pg_partition_root(c.oid), c.oid)::regclass::text)) from beneath b join pg_class c on c.oid = b.oid
      where b.view = e.oid and c.relkind in ('r', 'p')),
    'columns', (select json_agg(json_build_object('name', a.attname, 'type', t.type) order by a.attnum)
      from pg_attribute a join types t on t.oid = a.atttypid where a.attrelid = e.oid and a.attnum > 0 and not a.attisdropped),
    'grants', (select json_object_agg(role, json_build_object(
        'select', usable and has_any_column_privilege(role, e.oid, 'select'),
        'insert', (select coalesce(json_agg(attname order by attnum) filter (where usable), '[]') from pg_attribute a where a.attrelid = e.oid
          and attnum > 0 and not attisdropped and has_column_privilege(role, e.oid, attnum, 'insert')),
        'update', (select coalesce(json_agg(attname order by attnum) filter (where usable), '[]') from pg_attribute a where a.attrelid = e.oid
          and attnum > 0 and not attisdropped and has_column_privilege(role, e.oid, attnum, 'update')),
        'delete', usable and has_table_privilege(role, e.oid, 'delete')))
      from (select role, has_schema_privilege(role, e.nsp, 'usage') as usable from api) as usages)) as relation, e.nspname, e.relname
  from exposed e
),
functions as (
  select json_build_object('schema', n.nspname, 'name', p.proname, 'volatile', p.provolatile = 'v',
    'returns', coalesce(nullif(rt.typrelid, 0)::regclass::text, rt.typname),
    'arguments', coalesce((select json_agg(json_build_object('name', coalesce(p.proargnames[k.nth], ''), 'type', t.type,
        'optional', k.nth > p.pronargs - p.pronargdefaults) order by k.nth)
      from unnest(p.proargtypes::oid[]) with ordinality k (type, nth) join types t on t.oid = k.type), '[]'),
    'execute', (select json_object_agg(role, has_schema_privilege(role, n.oid, 'usage') and has_function_privilege(role, p.oid, 'execute')) from api)
    ) as function, n.nspname, p.oid
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_type rt on rt.oid = p.prorettype
  where n.nspname = any ($1) and p.prokind = 'f' and rt.typname not in ('trigger', 'event_trigger')
)
select json_build_object(
  'tables', coalesce((select json_agg(definition order by name) from tables), '[]'),
  'relations', coalesce((select json_agg(relation order by nspname, relname) from relations), '[]'),
  'functions', coalesce((select json_agg(function order by nspname, oid::regprocedure::text) from functions), '[]')) as catalogue`;
