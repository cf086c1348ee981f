-- id: 0078
-- name: owner_unexpected
-- level: error
-- fix: superuser
-- title: An object has another owner
-- why: The owner can drop policies and grants. A superuser's security definer functions and views pass by row-level security
--   altogether.

select owned.object,
  format('it belongs to %s', owned.owner::regrole) as detail,
  format('alter %s owner to rowhouse_owner;', owned.object) as remedy,
  jsonb_build_object('name', owned.name, 'owner', owned.owner::regrole) as metadata
from (
  select format('schema %I', s.name) as object, s.name, s.owner from schemas s where s.owner <> to_regrole('rowhouse_owner')
  union all
  -- A sequence has no policy to drop, and cursors of the ledger are the dispatcher's.
  select 'table ' || r.name, r.name, r.owner from relations r
  where r.owner <> to_regrole('rowhouse_owner') and not (r.kind = 'S' and r.schema = 'ledger' and r.owner = to_regrole('rowhouse_dispatcher'))
  union all
  select 'type ' || t.oid::regtype, t.oid::regtype::text, t.typowner
  from pg_catalog.pg_type t join schemas s on s.oid = t.typnamespace
  where t.typtype in ('d', 'e', 'r') and t.typowner <> to_regrole('rowhouse_owner')
  union all
  select 'function ' || f.name, f.name, f.owner from functions f
  where not exists (select from known_roles k where k.kind in ('owner', 'maker') and to_regrole(k.name) = f.owner)
) as owned
