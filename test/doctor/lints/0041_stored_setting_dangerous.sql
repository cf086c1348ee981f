-- expects: authenticator sets pgrst.db_pre_request
-- expects: every role sets backtrace_functions
-- flaw
reset role;
alter role authenticator set pgrst.db_pre_request = 'v1.whoami';
do $$ begin execute format('alter database %I set backtrace_functions = %L', current_database(), 't_acme 4 tenant_user'); end $$;
-- fixed
reset role;
alter role authenticator reset pgrst.db_pre_request;
do $$ begin execute format('alter database %I reset backtrace_functions', current_database()); end $$;
