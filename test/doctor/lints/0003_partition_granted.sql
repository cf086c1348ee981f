-- expects: app.files_p00 for tenant_user
-- flaw
grant select on app.files_p00 to tenant_user;
-- fixed
revoke select on app.files_p00 from tenant_user;
