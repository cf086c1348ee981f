-- expects: authenticator without plan_cache_mode
-- expects: tenant_user without enable_hashjoin
-- flaw
reset role;
alter role authenticator reset plan_cache_mode;
alter role tenant_user set enable_hashjoin = on;
-- fixed
reset role;
alter role authenticator set plan_cache_mode = force_generic_plan;
alter role tenant_user set enable_hashjoin = off;
