-- expects: v1.files
-- expects: request.error_codes
-- flaw
alter view v1.files set (security_invoker = false);
grant select on request.error_codes to tenant_user;
-- fixed
alter view v1.files set (security_invoker = true);
revoke select on request.error_codes from tenant_user;
