-- id: 0081
-- name: extension_outdated
-- level: info
-- fix: superuser
-- title: An extension is older than what is installed
-- why: After an upgrade of the server its old definitions stay, fixes to them included.

select e.extname::text as object,
  format('version %s, %s is there', e.extversion, a.default_version) as detail,
  format('alter extension %I update;', e.extname) as remedy,
  jsonb_build_object('extension', e.extname) as metadata
from pg_catalog.pg_extension e
join pg_catalog.pg_available_extensions() a on a.name = e.extname
where a.default_version <> e.extversion
