-- id: 0077
-- name: accessor_not_inlinable
-- level: error
-- fix: hand
-- title: An accessor is not inlined
-- why: Policies call the accessors. One that the planner does not inline runs for every row, and partitions are no longer
--   pruned when the statement starts.

select f.name as object,
  'it is ' || concat_ws(', ', case when f.language <> 'sql' then f.language end, case when f.volatility = 'v' then 'volatile' end,
    case when f.is_definer then 'security definer' end, case when f.settings is not null then 'set with ' || array_to_string(f.settings, ', ') end,
    case when f.parallel <> 's' then 'not parallel safe' end, case when not f.is_parsed then 'parsed when it runs' end) as detail,
  concat(format('alter function %s stable security invoker parallel safe;', f.name),
    case when f.settings is not null then format(' alter function %s reset all;', f.name) end) as remedy,
  jsonb_build_object('function', f.name) as metadata
from functions f
where f.schema = 'request'
  and (f.language <> 'sql' or f.volatility = 'v' or f.is_definer or f.settings is not null or f.parallel <> 's' or not f.is_parsed)
