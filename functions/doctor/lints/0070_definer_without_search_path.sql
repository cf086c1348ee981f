-- id: 0070
-- name: definer_without_search_path
-- level: error
-- fix: hand
-- title: A security definer function takes its caller's search_path
-- why: The caller says where names are looked up: with a schema or temporary table of their own they put other code into it,
--   which runs with the owner's rights.

select f.name as object,
  'its caller decides what its names mean' as detail,
  format('alter function %s set search_path = '''';', f.name) as remedy,
  jsonb_build_object('function', f.name) as metadata
from functions f
where f.is_definer and not f.is_pinned
