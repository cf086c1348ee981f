-- id: 0031
-- name: default_privileges_open
-- level: error
-- fix: superuser
-- title: New objects are open when they are made
-- why: A function that nobody granted can be called by everyone, until somebody remembers. PostgreSQL's own default for
--   functions and types is PUBLIC.

select format('%s of %s for %s', kinds.name, r.rolname, coalesce(g_role.rolname, 'public')) as object,
  format('each new one comes with %s', string_agg(lower(g.privilege_type), ', ' order by g.privilege_type)) as detail,
  format('alter default privileges for role %I%s revoke all on %s from %s;', r.rolname,
    ' in schema ' || quote_ident(n.nspname), kinds.name, coalesce(quote_ident(g_role.rolname), 'public')) as remedy,
  jsonb_build_object('role', r.rolname) as metadata
from pg_catalog.pg_roles r
cross join (values ('f', 'functions'), ('T', 'types'), ('r', 'tables'), ('S', 'sequences'), ('n', 'schemas')) as kinds (code, name)
left join pg_catalog.pg_default_acl d on d.defaclrole = r.oid and d.defaclobjtype = kinds.code::"char"
left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace
cross join aclexplode(coalesce(d.defaclacl, acldefault(kinds.code::"char", r.oid))) g
left join pg_catalog.pg_roles g_role on g_role.oid = g.grantee
join known_roles k on k.name = r.rolname and k.kind in ('owner', 'maker')
where g.grantee <> r.oid
  -- Without a stored default PostgreSQL's own holds. The makers make no types, and the migrator works as the owner.
  and (d.oid is not null or (kinds.code = 'f' and not k.logs_in) or (kinds.code = 'T' and r.rolname = 'rowhouse_owner'))
group by kinds.name, r.rolname, g_role.rolname, n.nspname
