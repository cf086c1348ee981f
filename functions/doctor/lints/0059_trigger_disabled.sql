-- id: 0059
-- name: trigger_disabled
-- level: error
-- fix: migration
-- title: A trigger is disabled
-- why: The ledger, the guards of job states and foreign keys are triggers. A disabled one guards nothing and looks as if it
--   did.

select format('%I on %s', g.tgname, r.name) as object,
  case g.tgenabled when 'R' then 'it fires on replicas only' else 'it does not fire' end as detail,
  format('alter table %s enable trigger %I;', r.name, g.tgname) as remedy,
  jsonb_build_object('relation', r.name) as metadata
from pg_catalog.pg_trigger g
join relations r on r.oid = g.tgrelid
where g.tgenabled in ('D', 'R')
  and not exists (select from pg_catalog.pg_trigger parent where parent.oid = g.tgparentid and parent.tgenabled in ('D', 'R'))
