-- id: 0061
-- name: rewrite_rule
-- level: error
-- fix: migration
-- title: A rule rewrites statements
-- why: What a rule adds runs with the rights of the relation's owner, whoever sent the statement, and triggers and policies
--   are easily passed by.

select format('%I on %s', w.rulename, r.name) as object,
  'use a trigger or a function instead' as detail,
  format('drop rule if exists %I on %s;', w.rulename, r.name) as remedy,
  jsonb_build_object('relation', r.name) as metadata
from pg_catalog.pg_rewrite w
join relations r on r.oid = w.ev_class
where w.rulename <> '_RETURN'
