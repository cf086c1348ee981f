-- id: 0025
-- name: table_grant_wider_than_view
-- level: warning
-- fix: hand
-- title: A table can be written where its view cannot
-- why: The view says what the API allows. Direct SQL, with the authenticator's password or through an injection, goes to the
--   table: what is not meant for clients is not granted there either.

select format('%s.%s for %s (%s)', t.name, c.name, r.name, verbs.verb) as object,
  'the API''s view does not allow it, the table beneath does' as detail,
  format('revoke %s (%I) on table %s from %I;', verbs.verb, c.name, t.name, r.name) as remedy,
  jsonb_build_object('relation', t.name, 'column', c.name, 'role', r.name) as metadata
from tables t
join columns c on c.relation = t.oid
cross join (values ('insert'), ('update')) as verbs (verb)
join runtime r on r.kind = 'client' and r.name <> 'anon' and has_column_privilege(r.oid, t.oid, c.attnum, verbs.verb)
where not t.is_partition and not t.exposed
  and exists (select from privileges p where p.oid = t.oid and p.grantee = r.oid and p.kind in ('relation', 'column'))
  and exists (select from pg_catalog.pg_depend d join pg_catalog.pg_rewrite w on w.oid = d.objid
    join relations v on v.oid = w.ev_class and v.exposed
    where d.classid = 'pg_catalog.pg_rewrite'::regclass and d.refobjid = t.oid)
  and not exists (
    select from pg_catalog.pg_depend d join pg_catalog.pg_rewrite w on w.oid = d.objid
    join columns v on v.relation = w.ev_class and v.exposed and v.name = c.name
    where d.classid = 'pg_catalog.pg_rewrite'::regclass and d.refobjid = t.oid
      and has_column_privilege(r.oid, v.relation, v.attnum, verbs.verb))
