-- class: view option

select r.name as element, split_part(option, '=', 1) || ' ' || v.how as how, v.sql, format('alter view %s set (%s)', r.name, option) as undo
from relations r cross join unnest(r.options) as option
cross join lateral (values
  ('reset', format('alter view %s reset (%s)', r.name, split_part(option, '=', 1))),
  ('false', format('alter view %s set (%s = false)', r.name, split_part(option, '=', 1)))
) as v (how, sql)
where r.kind = 'v' and option ~ '^security_(invoker|barrier)=(true|on)$'
