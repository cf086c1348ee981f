--@ function auth.sign_claims(jsonb)
set role rowhouse_sealer;
create function auth.sign_claims(claims jsonb)
returns text
language plpgsql
volatile
security definer -- only the sealer may read signing keys
set search_path = ''
parallel unsafe
as $$
declare
  key auth.signing_keys;
  payload text := auth.encode_base64url(convert_to(claims::text, 'UTF8'));
  header text;
begin
  select * into strict key from auth.signing_keys where status = 'active';
  header := auth.encode_base64url(convert_to(format('{"alg":"HS256","typ":"JWT","kid":"%s","seal":"%s"}', key.kid,
    auth.encode_base64url(extensions.hmac(convert_to(payload, 'UTF8'), key.secret, 'sha256'))), 'UTF8'));
  return header || '.' || payload || '.' || auth.encode_base64url(
    extensions.hmac(convert_to(header || '.' || payload, 'UTF8'), key.api_secret, 'sha256'));
end
$$;
comment on function auth.sign_claims(jsonb) is
  'A compact JWS (RFC 7515) of the claims, signed with the active key. Its header carries the seal that the gate checks.';
grant execute on function auth.sign_claims(jsonb) to rowhouse_owner;
set role rowhouse_owner;

--@ function auth.claims_for(text,text,interval,jsonb)
create function auth.claims_for(subject text, role text, ttl interval, further jsonb)
returns jsonb
language sql
volatile
security invoker
parallel unsafe
begin atomic
  select jsonb_strip_nulls(jsonb_build_object('iss', 'rowhouse', 'aud', 'rowhouse', 'sub', subject, 'role', role, 'scope', '',
    'iat', issued_at, 'exp', issued_at + extract(epoch from ttl)::bigint, 'jti', gen_random_uuid()) || further)
  from cast(extract(epoch from now()) as bigint) as issued_at;
end;
comment on function auth.claims_for(text, text, interval, jsonb) is 'The claims that every token has, and further ones of this token.';
grant execute on function auth.claims_for(text, text, interval, jsonb) to rowhouse_sealer;

--@ function auth.issue_token(text,text,text,interval,text)
create function auth.issue_token(
  tenant_id text, subject text, tenant_role text, ttl interval default '1 hour', role text default 'tenant_user')
returns text
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  if ttl <= '0'::interval or ttl > '31 days'::interval then
    perform request.raise_error('token_invalid', 'a token lives for more than nothing and at most 31 days');
  elsif role = 'tenant_user' and tenancy.role_rank(tenant_role) is null then
    perform request.raise_error('token_invalid', 'the tenant role is not viewer, member, admin or owner');
  end if;
  return auth.sign_claims(auth.claims_for(subject, role, ttl,
    jsonb_build_object('tenant_id', tenant_id, 'tenant_role', tenant_role)));
end
$$;
comment on function auth.issue_token(text, text, text, interval, text) is
  'A sealed token. tenant_role: the most that it may carry; the gate still asks for membership. An operator''s has no tenant. '
  'Raises token_invalid.';

--@ function auth.issue_service_token(text,text,interval)
create function auth.issue_service_token(tenant_id text, subject text, ttl interval default '15 minutes')
returns text
language plpgsql
volatile
security definer -- signs; the caller's own login is the only role that it can sign for
set search_path = ''
parallel unsafe
as $$
begin
  if ttl > '1 hour'::interval then
    perform request.raise_error('token_invalid', 'a service token lives for at most an hour');
  end if;
  return auth.issue_token(tenant_id, subject, 'service', ttl, session_user::text);
end
$$;
comment on function auth.issue_service_token(text, text, interval) is
  'A token with which a worker or an edge works inside one tenant, under row-level security. Raises token_invalid.';
grant execute on function auth.issue_service_token(text, text, interval) to rowhouse_worker, rowhouse_edge;
