-- id: 0069
-- name: definer_trigger_not_listed
-- level: error
-- fix: hand
-- title: A security definer trigger is not listed
-- why: Whoever may write the table makes it run with its owner's rights, on values of their choice. No EXECUTE is asked for.

select f.name as object,
  format('it runs as %s whenever %s is written', f.owner::regrole, string_agg(distinct r.name, ', ')) as detail,
  format('alter function %s security invoker;', f.name) as remedy,
  jsonb_build_object('function', f.name) as metadata
from functions f
join pg_catalog.pg_trigger g on g.tgfoid = f.oid and not g.tgisinternal
join relations r on r.oid = g.tgrelid and not r.is_partition
where f.is_definer
group by f.name, f.owner
