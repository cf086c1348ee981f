-- id: 0071
-- name: function_without_search_path
-- level: warning
-- fix: hand
-- title: A function takes its caller's search_path
-- why: Its names are looked up when it runs, where the caller says. A body that was parsed when it was made (`return …`,
--   `begin atomic`) does not need it.

select f.name as object,
  'its names are looked up when it runs' as detail,
  format('alter function %s set search_path = '''';', f.name) as remedy,
  jsonb_build_object('function', f.name) as metadata
from functions f
where not f.is_definer and not f.is_pinned and not f.is_parsed
