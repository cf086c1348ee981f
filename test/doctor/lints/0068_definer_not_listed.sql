-- expects: v1.everything() for tenant_user
-- expects: auth.sign_claims(jsonb) for operator
-- flaw
create function v1.everything() returns bigint language sql stable security definer set search_path = ''
  return (select count(*) from app.files);
grant execute on function v1.everything() to tenant_user;
grant usage on schema auth to operator;
set role rowhouse_sealer;
grant execute on function auth.sign_claims(jsonb) to operator;
-- fixed
revoke execute on function v1.everything() from tenant_user;
set role rowhouse_sealer;
revoke execute on function auth.sign_claims(jsonb) from operator;
