-- id: 0002
-- name: rls_not_forced
-- level: error
-- fix: migration
-- title: Row-level security does not bind the owner
-- why: Functions that run as the owner, and foreign key and unique checks written into them, see every tenant's rows.

select t.name as object,
  'its owner, and every security definer function of the owner, passes by the policies' as detail,
  format('alter table %s force row level security;', t.name) as remedy,
  jsonb_build_object('relation', t.name, 'partition', t.is_partition) as metadata
from tables t
where t.has_rls and not t.forces_rls
