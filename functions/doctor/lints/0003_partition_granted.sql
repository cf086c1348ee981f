-- id: 0003
-- name: partition_granted
-- level: error
-- fix: migration
-- title: A partition is granted to a role
-- why: The policies are the parent's. A partition that is queried by its own name is a table without them: whoever may reach
--   it, goes round the wall.

select format('%s for %s', t.name, coalesce(r.rolname, 'public')) as object,
  format('holds %s on the partition; the parent alone is granted', string_agg(lower(p.privilege), ', ' order by p.privilege)) as detail,
  format('revoke all on table %s from %s;', t.name, coalesce(quote_ident(r.rolname), 'public')) as remedy,
  jsonb_build_object('relation', t.name, 'role', coalesce(r.rolname, 'public')) as metadata
from privileges p
join tables t on t.oid = p.oid and t.is_partition
left join pg_catalog.pg_roles r on r.oid = p.grantee
where p.kind in ('relation', 'column') and p.grantee <> 0
group by t.name, r.rolname
