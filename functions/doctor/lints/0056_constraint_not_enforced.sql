-- id: 0056
-- name: constraint_not_enforced
-- level: warning
-- fix: migration
-- title: A constraint was not checked
-- why: Rows that break it may be there already. Whoever reads the schema relies on something that does not hold.

select format('%I on %s', c.conname, r.name) as object,
  case when to_jsonb(c) ->> 'conenforced' = 'false' then 'it is not enforced' else 'it was never validated' end as detail,
  case when to_jsonb(c) ->> 'conenforced' = 'false' then format('alter table %s alter constraint %I enforced;', r.name, c.conname)
    else format('alter table %s validate constraint %I;', r.name, c.conname) end as remedy,
  jsonb_build_object('relation', r.name) as metadata
from pg_catalog.pg_constraint c
join relations r on r.oid = c.conrelid
where c.conparentid = 0 and c.conislocal and (not c.convalidated or to_jsonb(c) ->> 'conenforced' = 'false')
