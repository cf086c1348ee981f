-- id: 0042
-- name: plan_cache_mode_missing
-- level: warning
-- fix: superuser
-- title: PostgREST's plans are made anew for every request
-- why: PostgREST passes LIMIT as a parameter, which makes PostgreSQL plan all partitions again on each request: 4.2 ms, 696
--   against 1,328 requests/s.

select r.rolname::text as object,
  'plan_cache_mode is not force_generic_plan for it' as detail,
  format('alter role %I set plan_cache_mode = force_generic_plan;', r.rolname) as remedy,
  jsonb_build_object('role', r.rolname) as metadata
from pg_catalog.pg_roles r
where r.rolname = 'authenticator' and not exists (
  select from pg_catalog.pg_db_role_setting d, unnest(d.setconfig) as pair
  where d.setrole = r.oid and pair = 'plan_cache_mode=force_generic_plan'
    and d.setdatabase in (0, (select oid from pg_catalog.pg_database where datname = current_database())))
