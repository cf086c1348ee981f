-- expects: table app.files for tenant_user
-- flaw
grant select on app.files to tenant_user with grant option;
-- fixed
revoke grant option for select on app.files from tenant_user;
