-- id: 0057
-- name: index_invalid
-- level: warning
-- fix: hand
-- title: An index is not valid
-- why: It costs on every write and serves no query; a unique one does not keep rows unique.

select i.indexrelid::regclass::text as object,
  format('on %s: not built, or missing on a partition', t.name) as detail,
  format('reindex index %s;', i.indexrelid::regclass) as remedy,
  jsonb_build_object('relation', t.name) as metadata
from pg_catalog.pg_index i
join tables t on t.oid = i.indrelid
where not i.indisvalid
