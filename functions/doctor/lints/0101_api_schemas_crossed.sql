-- id: 0101
-- name: api_schemas_crossed
-- level: warning
-- fix: migration
-- title: One side of the API holds grants on the other's
-- why: Operators see what tenants are called, not what they store; members see nothing of the directory. v1 is for members and
--   admin for operators, so that one grant too many in either is not enough.

select format('%s for %s', p.target, r.name) as object,
  format('holds %s', string_agg(distinct lower(p.privilege), ', ')) as detail,
  format('revoke all on %s from %I;', p.target, r.name) as remedy,
  jsonb_build_object('name', p.name, 'role', r.name) as metadata
from privileges p
join runtime r on r.oid = p.grantee and r.kind = 'client'
left join relations t on p.kind in ('relation', 'column') and t.oid = p.oid
left join functions f on p.kind = 'function' and f.oid = p.oid
cross join lateral (select coalesce(t.schema, f.schema, case when p.kind = 'schema' then p.name end) as name) as side
where r.name = 'operator' and (side.name ~ '^v[0-9]+$' or side.name = 'app') or r.name = 'tenant_user' and side.name = 'admin'
group by p.target, p.name, r.name
