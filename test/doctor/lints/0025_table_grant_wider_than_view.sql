-- expects: app.files.status for tenant_user (update)
-- flaw
grant update (status) on app.files to tenant_user;
-- fixed
revoke update (status) on app.files from tenant_user;
