-- expects: tenant_user
-- expects: public
-- flaw
reset role;
grant set on parameter backtrace_functions to tenant_user, public;
-- fixed
reset role;
revoke set on parameter backtrace_functions from tenant_user, public;
