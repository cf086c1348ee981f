-- expects: pg_catalog.pg_stats_ext
-- flaw
reset role;
set local allow_system_table_mods = on;
do $$ begin
  execute 'create or replace view pg_catalog.pg_stats_ext with (security_barrier) as '
    || replace(pg_get_viewdef('pg_stats_ext'), 'pg_has_role(c.relowner, ''USAGE''::text)', 'true');
end $$;
-- fixed
reset role;
set local allow_system_table_mods = on;
do $$ begin
  execute 'create or replace view pg_catalog.pg_stats_ext with (security_barrier) as '
    || replace(pg_get_viewdef('pg_stats_ext'), 'WHERE (true AND', 'WHERE (pg_has_role(c.relowner, ''USAGE''::text) AND');
end $$;
