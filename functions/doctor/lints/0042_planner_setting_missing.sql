-- id: 0042
-- name: planner_setting_missing
-- level: warning
-- fix: superuser
-- title: PostgREST's sessions do not plan as they should
-- why: PostgREST passes LIMIT as a parameter, which makes PostgreSQL plan all partitions again on each request: 4.2 ms, 696
--   against 1,328 requests/s. A plan that is kept expects a tenth of all rows there, and then hashes or sorts all of a tenant's rows
--   to join 20 of them: 1,300 times as long where there are 200,000.

select format('%s without %s', r.rolname, wanted.name) as object,
  format('it is not %s for it', wanted.value) as detail,
  format('alter role %I set %s = %s;', r.rolname, wanted.name, wanted.value) as remedy,
  jsonb_build_object('role', r.rolname, 'setting', wanted.name) as metadata
from pg_catalog.pg_roles r
join (values ('authenticator', 'plan_cache_mode', 'force_generic_plan'), ('authenticator', 'max_parallel_workers_per_gather', '0'),
  ('tenant_user', 'enable_hashjoin', 'off'), ('tenant_user', 'enable_mergejoin', 'off')) as wanted (role, name, value) on wanted.role = r.rolname
where not exists (
  select from pg_catalog.pg_db_role_setting d, unnest(d.setconfig) as pair
  where d.setrole = r.oid and pair = wanted.name || '=' || wanted.value
    and d.setdatabase in (0, (select oid from pg_catalog.pg_database where datname = current_database())))
