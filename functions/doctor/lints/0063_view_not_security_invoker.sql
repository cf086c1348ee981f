-- id: 0063
-- name: view_not_security_invoker
-- level: error
-- fix: migration
-- title: A view runs with its owner's rights
-- why: It reads its tables as the owner: grants, and wherever the owner has a policy of its own policies too, are the owner's
--   and not the caller's.

select r.name as object,
  'its tables are read with the rights of the owner' as detail,
  format('alter view %s set (security_invoker = true);', r.name) as remedy,
  jsonb_build_object('relation', r.name) as metadata
from relations r
where r.kind = 'v'
  and not exists (select from unnest(r.options) as option where option ~* '^security_invoker=(true|on|yes|1)$')
  and (r.exposed or exists (select from privileges p where p.oid = r.oid and p.kind in ('relation', 'column') and p.grantee <> 0))
