-- id: 0122
-- name: object_name_hostile
-- level: error
-- fix: hand
-- title: An object's name breaks lines
-- why: Dumps print names in comments. With a line break in it, what follows runs where the dump is restored, as whoever
--   restores it (CVE-2025-8714, CVE-2025-8715).

select format('%s %s', named.kind, to_jsonb(named.name)) as object,
  'its name has a control character' as detail,
  format(named.renaming, regexp_replace(named.name, '[[:cntrl:]]+', '_', 'g')) as remedy,
  jsonb_build_object('kind', named.kind, 'name', named.name) as metadata
from (
  select 'schema' as kind, s.name, format('alter schema %I rename to %%I;', s.name) as renaming from schemas s
  union all
  select 'relation', r.short_name, format('alter table %s rename to %%I;', r.name) from relations r
  union all
  select 'column', c.name, format('alter table %s rename column %I to %%I;', c.relation_name, c.name) from columns c where not c.is_partition
  union all
  select 'function', p.proname::text, format('alter routine %s rename to %%I;', f.name) from functions f join pg_catalog.pg_proc p on p.oid = f.oid
  union all
  select 'type', t.typname::text, format('alter type %s rename to %%I;', t.oid::regtype) from pg_catalog.pg_type t
  join schemas s on s.oid = t.typnamespace where t.typrelid = 0 and t.typelem = 0
  union all
  select 'policy', p.polname::text, format('alter policy %I on %s rename to %%I;', p.polname, p.polrelid::regclass) from pg_catalog.pg_policy p
  union all
  select 'constraint', c.conname::text, format('alter table %s rename constraint %I to %%I;', r.name, c.conname)
  from pg_catalog.pg_constraint c join relations r on r.oid = c.conrelid where c.conparentid = 0
  union all
  select 'trigger', g.tgname::text, format('alter trigger %I on %s rename to %%I;', g.tgname, r.name)
  from pg_catalog.pg_trigger g join relations r on r.oid = g.tgrelid where not g.tgisinternal and g.tgparentid = 0
  union all
  select 'role', r.rolname::text, format('alter role %I rename to %%I;', r.rolname) from pg_catalog.pg_roles r
) as named
where named.name ~ '[[:cntrl:]]'
