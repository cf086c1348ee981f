-- expects: app.files.created_by for tenant_user (update)
-- expects: v1.files.created_by for tenant_user (update)
-- flaw
grant update (created_by) on app.files, v1.files to tenant_user;
-- fixed
revoke update (created_by) on app.files, v1.files from tenant_user;
