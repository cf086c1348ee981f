-- expects: app.files for tenant_user (trigger, truncate)
-- flaw
grant truncate, trigger on app.files to tenant_user;
-- fixed
revoke truncate, trigger on app.files from tenant_user;
