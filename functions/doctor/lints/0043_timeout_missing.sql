-- id: 0043
-- name: timeout_missing
-- level: warning
-- fix: superuser
-- title: A request can run for ever
-- why: One slow or stuck request keeps a connection of a small pool, and its locks and snapshot, from all tenants.

select format('%s (%s)', r.rolname, wanted.setting) as object,
  format('%s is not set for it', wanted.setting) as detail,
  format('alter role %I set %s = %L;', r.rolname, wanted.setting, wanted.value) as remedy,
  jsonb_build_object('role', r.rolname, 'setting', wanted.setting) as metadata
from pg_catalog.pg_roles r
cross join (values ('statement_timeout', '15s'), ('idle_in_transaction_session_timeout', '30s')) as wanted (setting, value)
where r.rolname in ('authenticator', 'rowhouse_edge') and not exists (
  select from pg_catalog.pg_db_role_setting d, unnest(d.setconfig) as pair
  where d.setrole = r.oid and split_part(pair, '=', 1) = wanted.setting and split_part(pair, '=', 2) !~ '^0'
    and d.setdatabase in (0, (select oid from pg_catalog.pg_database where datname = current_database())))
