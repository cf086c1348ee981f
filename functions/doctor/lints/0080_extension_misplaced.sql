-- id: 0080
-- name: extension_misplaced
-- level: warning
-- fix: superuser
-- title: An extension is not in the schema for extensions
-- why: Its functions come with EXECUTE for PUBLIC. In `extensions` nobody from outside reaches them; in an API schema they
--   are endpoints.

select e.extname::text as object,
  format('it is in the schema %s', e.extnamespace::regnamespace) as detail,
  format('alter extension %I set schema extensions;', e.extname) as remedy,
  jsonb_build_object('extension', e.extname) as metadata
from pg_catalog.pg_extension e
join pg_catalog.pg_namespace n on n.oid = e.extnamespace
where n.nspname not in ('extensions', 'pg_catalog')
