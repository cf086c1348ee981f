-- expects: auth.api_key_hashes for tenant_user
-- expects: tenancy.tenant_settings for tenant_user
-- flaw
grant select (hash) on auth.api_key_hashes to tenant_user;
grant select, delete on tenancy.tenant_settings to tenant_user;
-- fixed
revoke select (hash) on auth.api_key_hashes from tenant_user;
revoke select, delete on tenancy.tenant_settings from tenant_user;
