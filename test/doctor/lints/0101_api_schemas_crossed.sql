-- expects: schema app for operator
-- expects: schema admin for tenant_user
-- expects: function v1.whoami() for operator
-- flaw
grant usage on schema app to operator;
grant usage on schema admin to tenant_user;
grant execute on function v1.whoami() to operator;
-- fixed
revoke usage on schema app from operator;
revoke usage on schema admin from tenant_user;
revoke execute on function v1.whoami() from operator;
