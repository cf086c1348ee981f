-- id: 0066
-- name: foreign_table_exposed
-- level: error
-- fix: migration
-- title: A foreign table can be reached
-- why: Row-level security does not apply to it, and the other server sees one login for all tenants.

select r.name as object,
  'row-level security does not apply to it' as detail,
  coalesce(string_agg(distinct 'revoke all on table ' || r.name || ' from ' || quote_ident(g.rolname) || ';', ' '),
    format('drop foreign table if exists %s;', r.name)) as remedy,
  jsonb_build_object('relation', r.name) as metadata
from relations r
left join privileges p on p.oid = r.oid and p.kind in ('relation', 'column')
left join pg_catalog.pg_roles g on g.oid = p.grantee
where r.kind = 'f' and (r.exposed or g.oid is not null)
group by r.name
