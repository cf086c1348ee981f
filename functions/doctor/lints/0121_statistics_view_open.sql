-- id: 0121
-- name: statistics_view_open
-- level: error
-- fix: superuser
-- title: A view of statistics shows rows behind policies
-- why: Statistics are samples of values, of every tenant's. CVE-2019-10130 and CVE-2024-4317 were such views; a cluster made
--   before 16.3 keeps the old ones after the update, until a script of the release notes is run.

select v.name as object,
  'it does not ask ' || case when not asks.policies then 'whether policies apply to the reader' else v.asks || '()' end as detail,
  format('revoke select on %s from public; -- then run share/fix-CVE-2024-4317.sql of this server', v.name) as remedy,
  jsonb_build_object('relation', v.name) as metadata
from (values ('pg_catalog.pg_stats', 'has_column_privilege'), ('pg_catalog.pg_stats_ext', 'pg_has_role'),
  ('pg_catalog.pg_stats_ext_exprs', 'pg_has_role')) as v (name, asks)
cross join lateral (select pg_get_viewdef(to_regclass(v.name)) as source) as view
cross join lateral (select view.source ~ 'row_security_active\(' as policies, view.source ~ (v.asks || '\(') as owner) as asks
where (not asks.policies or not asks.owner) and exists (
  select from pg_catalog.pg_class c, aclexplode(c.relacl) g where c.oid = to_regclass(v.name) and g.grantee = 0)
