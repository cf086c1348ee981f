-- id: 0102
-- name: delete_wider_than_view
-- level: warning
-- fix: migration
-- title: A client may delete in a table whose view does not let it
-- why: Whoever gets at SQL, through an injection or a stolen password, is not bound to the view. What the API does not delete is
--   not granted beneath it either.

select format('%s for %s', t.name, r.name) as object,
  'the API''s view does not allow it, the table beneath does' as detail,
  format('revoke delete on table %s from %I;', t.name, r.name) as remedy,
  jsonb_build_object('relation', t.name, 'role', r.name) as metadata
from tables t
join runtime r on r.kind = 'client' and r.name <> 'anon' and has_table_privilege(r.oid, t.oid, 'delete')
cross join lateral (
  select count(*) as views, count(*) filter (where has_table_privilege(r.oid, v.oid, 'delete')) as allow
  from relations v
  where v.exposed and exists (
    select from pg_catalog.pg_rewrite w join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
    where w.ev_class = v.oid and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = t.oid)
) as shown
where not t.is_partition and not t.exposed and shown.views > 0 and shown.allow = 0
