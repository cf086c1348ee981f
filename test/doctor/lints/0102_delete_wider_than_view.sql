-- expects: app.job_findings for tenant_user
-- flaw
grant delete on app.job_findings to tenant_user;
-- fixed
revoke delete on app.job_findings from tenant_user;
