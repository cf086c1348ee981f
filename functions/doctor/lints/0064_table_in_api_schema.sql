-- id: 0064
-- name: table_in_api_schema
-- level: warning
-- fix: hand
-- title: A table stands in an API schema
-- why: The API is views and functions over tables elsewhere, so that columns can be added, renamed and kept from clients
--   without breaking them.

select t.name as object,
  'every column of it is the API' as detail,
  format('alter table %s set schema app;', t.name) as remedy,
  jsonb_build_object('relation', t.name) as metadata
from tables t
where t.exposed and not t.is_partition
