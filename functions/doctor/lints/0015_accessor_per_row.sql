-- id: 0015
-- name: accessor_per_row
-- level: warning
-- fix: hand
-- title: An accessor is evaluated for every row
-- why: In a sub-select it is evaluated once for the statement, without it for each row.

select distinct c.name as object,
  format('write (select %s)', (regexp_match(c.bare, 'request\.\w+\([^()]*\)'))[1]) as detail,
  format('alter policy %s %s (%s);', c.name, case when c.is_check then 'with check' else 'using' end,
    regexp_replace(c.source, '(?<!SELECT )(request\.(?!tenant_id)\w+\([^()]*\))', '(select \1)', 'g')) as remedy,
  jsonb_build_object('relation', c.table_name) as metadata
from (
  select conditions.*, regexp_replace(source, '\( SELECT request\.\w+\([^()]*\) AS \w+\)|request\.tenant_id\(\)', '', 'g') as bare
  from conditions
) as c
where c.bare ~ 'request\.\w+\('
