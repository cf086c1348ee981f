-- id: 0100
-- name: viewer_may_write
-- level: warning
-- fix: hand
-- title: A policy for writing asks for no more than a viewer
-- why: Viewers read. Where the least role of a policy for writing is viewer, or a policy that was made for reading covers
--   every verb, everybody in the tenant writes, and those who were made viewers so that they cannot.

select distinct c.name as object,
  'a viewer may write here' as detail,
  format('alter policy %s%s%s;', c.name,
    ' using (' || replace(c.qual, '''viewer''', '''member''') || ')',
    ' with check (' || replace(c.with_check, '''viewer''', '''member''') || ')') as remedy,
  jsonb_build_object('relation', c.table_name) as metadata
from conditions c
join tenant_roles asked on asked.oid = c.oid and asked.is_check = c.is_check
where c.permissive and c.command <> 'r' and c.is_tenant_data and to_regrole('tenant_user') = any (c.roles) and asked.rank = 1
