-- expects: app.start_job(uuid) for tenant_user
-- flaw
grant execute on function app.start_job(uuid) to tenant_user;
-- fixed
revoke execute on function app.start_job(uuid) from tenant_user;
