-- expects: v1.hooks.api_secret
-- flaw
create view v1.hooks with (security_invoker = true) as select id, name as api_secret from app.files;
grant select on v1.hooks to tenant_user;
-- fixed
revoke select on v1.hooks from tenant_user;
grant select (id) on v1.hooks to tenant_user;
