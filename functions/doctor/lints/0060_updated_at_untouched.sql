-- id: 0060
-- name: updated_at_untouched
-- level: warning
-- fix: migration
-- title: updated_at is not kept
-- why: Clients cache and synchronise by it. A value that stays is worse than none.

select t.name as object,
  'no trigger calls tenancy.touch() before an update' as detail,
  format('create or replace trigger touch before update on %s for each row execute function tenancy.touch();', t.name) as remedy,
  jsonb_build_object('relation', t.name) as metadata
from tables t
join columns c on c.relation = t.oid and c.name = 'updated_at'
where t.tenant_column is not null and not t.is_partition
  and not exists (
    select from pg_catalog.pg_trigger g
    where g.tgrelid = t.oid and g.tgfoid = to_regprocedure('tenancy.touch()') and g.tgtype & 19 = 19)
