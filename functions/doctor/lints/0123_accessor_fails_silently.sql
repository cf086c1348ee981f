-- id: 0123
-- name: accessor_fails_silently
-- level: error
-- fix: hand
-- title: Without a tenant, the answer is empty
-- why: A worker that forgot to enter its tenant then sees no rows, writes none, and reports success: that is how output gets
--   lost without an error. The accessor raises instead.

select f.name as object,
  'it does not call request.tenant_required()' as detail,
  'create or replace function request.tenant_id() returns text language sql stable security invoker parallel safe '
    'return coalesce(nullif(split_part(request.seal(), '' '', 1), ''_''), request.tenant_required());' as remedy,
  jsonb_build_object('function', f.name) as metadata
from functions f
where f.name = 'request.tenant_id()' and f.is_parsed and not exists (
  select from pg_catalog.pg_depend d
  where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = f.oid
    and d.refclassid = 'pg_catalog.pg_proc'::regclass and d.refobjid = to_regprocedure('request.tenant_required()'))
