-- class: trigger

select format('%s on %s', t.tgname, r.name) as element, v.how, v.sql, v.undo,
  -- Those that the doctor looks for in every table; what others do, their author knows.
  case when v.how = 'dropped' and t.tgfoid is distinct from to_regprocedure('ledger.record()') and t.tgfoid is distinct from to_regprocedure('tenancy.touch()')
    then r.name end as author
from pg_catalog.pg_trigger t join relations r on r.oid = t.tgrelid
cross join lateral (values
  ('dropped', format('drop trigger %I on %s', t.tgname, r.name), pg_get_triggerdef(t.oid), t.tgparentid = 0),
  ('disabled', format('alter table %s disable trigger %I', r.name, t.tgname), format('alter table %s enable trigger %I', r.name, t.tgname), r.kind <> 'v')
) as v (how, sql, undo, possible)
where not t.tgisinternal and v.possible
