-- expects: authenticator
-- flaw
reset role;
alter role authenticator reset plan_cache_mode;
-- fixed
reset role;
alter role authenticator set plan_cache_mode = force_generic_plan;
