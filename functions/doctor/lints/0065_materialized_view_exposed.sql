-- id: 0065
-- name: materialized_view_exposed
-- level: error
-- fix: migration
-- title: A materialized view can be reached
-- why: It has no row-level security and cannot have one: it shows what its owner saw when it was filled, for all tenants.

select r.name as object,
  'row-level security does not apply to it' as detail,
  coalesce(string_agg(distinct 'revoke all on table ' || r.name || ' from ' || quote_ident(g.rolname) || ';', ' '),
    format('drop materialized view if exists %s;', r.name)) as remedy,
  jsonb_build_object('relation', r.name) as metadata
from relations r
left join privileges p on p.oid = r.oid and p.kind in ('relation', 'column')
left join pg_catalog.pg_roles g on g.oid = p.grantee
where r.kind = 'm' and (r.exposed or g.oid is not null)
group by r.name
