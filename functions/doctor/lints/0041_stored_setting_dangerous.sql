-- id: 0041
-- name: stored_setting_dangerous
-- level: error
-- fix: superuser
-- title: A stored setting changes the wall
-- why: A stored seal is a tenant for every session without a token. PostgREST takes `pgrst.*` of its login over its
--   configuration file: one line there takes the gate away.

select concat(coalesce(r.rolname, 'every role'), ' sets ', s.name) as object,
  'stored with alter role or alter database, it applies to every new session' as detail,
  case when r.rolname is null then format('alter database %I reset %s;', current_database(), s.name)
    when d.setdatabase = 0 then format('alter role %I reset %s;', r.rolname, s.name)
    else format('alter role %I in database %I reset %s;', r.rolname, current_database(), s.name) end as remedy,
  jsonb_build_object('setting', s.name) as metadata
from pg_catalog.pg_db_role_setting d
cross join unnest(d.setconfig) as pair
cross join lateral (select split_part(pair, '=', 1) as name) s
left join pg_catalog.pg_roles r on r.oid = d.setrole
where d.setdatabase in (0, (select oid from pg_catalog.pg_database where datname = current_database()))
  and (s.name ~ '^(backtrace_functions|session_replication_role|row_security|(session|local)_preload_libraries|rowhouse\.|request\.|pgrst\.)'
    or (s.name in ('role', 'search_path') and exists (select from runtime where runtime.oid = d.setrole)))
union all
select 'the server sets backtrace_functions', format('it is %L in its %s', setting, source),
  'alter system reset backtrace_functions; select pg_reload_conf();', jsonb_build_object('setting', name)
from pg_catalog.pg_settings
where name = 'backtrace_functions' and setting <> '' and source in ('configuration file', 'command line', 'environment variable')
