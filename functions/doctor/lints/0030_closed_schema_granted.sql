-- id: 0030
-- name: closed_schema_granted
-- level: error
-- fix: superuser
-- title: A client reaches a schema that is not for clients
-- why: There are the queue, every tenant's history, and functions that nobody has checked for this use. Without USAGE their
--   grants do not matter; with it they do.

select format('%s for %s', n.nspname, coalesce(r.name, 'public')) as object,
  format('holds %s', string_agg(lower(g.privilege_type), ', ')) as detail,
  format('revoke all on schema %I from %s;', n.nspname, coalesce(quote_ident(r.name), 'public')) as remedy,
  jsonb_build_object('schema', n.nspname, 'role', coalesce(r.name, 'public')) as metadata
from pg_catalog.pg_namespace n
cross join aclexplode(n.nspacl) g
left join runtime r on r.oid = g.grantee
where (n.nspname in ('ledger', 'public') and r.kind = 'client' and r.name <> 'anon')
  or (n.nspname in ('pgboss', 'extensions') and r.kind = 'client')
  or (n.nspname in ('pgboss', 'extensions') and r.kind = 'service' and g.privilege_type = 'CREATE' and g.grantee <> n.nspowner)
  or (n.nspname in ('pgboss', 'extensions') and g.grantee = 0)
group by n.nspname, r.name
union all
select format('%s for %s', p.name, r.name), format('holds %s', lower(p.privilege)),
  format('revoke all on %s from %I;', p.target, r.name), jsonb_build_object('relation', p.name, 'role', r.name)
from relations t
join privileges p on p.oid = t.oid and p.kind in ('relation', 'column') and p.privilege ~ '^SELECT'
join runtime r on r.oid = p.grantee and r.kind = 'client' and r.name <> 'anon'
where t.schema in ('ledger', 'public') and not t.is_partition
