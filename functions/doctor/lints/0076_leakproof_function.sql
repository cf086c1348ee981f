-- id: 0076
-- name: leakproof_function
-- level: error
-- fix: superuser
-- title: A function claims to leak nothing
-- why: The planner may then call it on rows before the policy has hidden them. One error message or notice that shows its
--   argument shows another tenant's value.

select p.oid::regprocedure::text as object,
  'it may be called on rows that the policies hide' as detail,
  format('alter function %s not leakproof;', p.oid::regprocedure) as remedy,
  jsonb_build_object('function', p.oid::regprocedure) as metadata
from pg_catalog.pg_proc p
where p.proleakproof and p.oid >= 16384 -- the first that is not PostgreSQL's own
