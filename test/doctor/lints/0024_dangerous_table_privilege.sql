-- expects: app.files for tenant_user (trigger, truncate)
-- expects: auth.signing_keys for operator (truncate)
-- flaw
grant truncate on auth.signing_keys to operator;
grant truncate, trigger on app.files to tenant_user;
-- fixed
revoke truncate, trigger on app.files from tenant_user;
revoke truncate on auth.signing_keys from operator;
