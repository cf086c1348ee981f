-- migrate:up
set local lock_timeout = '3s';
set local search_path = '';

--@ function auth.enter(text)
set role rowhouse_sealer;
create function auth.enter(token text)
returns void
language plpgsql
volatile
security definer -- the sealer alone may write the protected variable
set search_path = ''
parallel unsafe
as $$
declare
  seal text := auth.seal_for(token);
  protected boolean := auth.seal_is_protected();
  setting text := case when protected then 'backtrace_functions' else 'rowhouse.token' end;
  context text := case when protected then seal else token end;
  entered text := current_setting(setting, true);
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform request.raise_error('context_sealed', 'a context is entered in isolation level read committed',
      'an older snapshot would not see that a tenant was suspended or a member removed');
  end if;
  if entered <> '' and entered <> context then
    perform request.raise_error('context_sealed', 'one transaction, one context', 'begin another transaction');
  end if;
  perform set_config(setting, context, true);
end
$$;
comment on function auth.enter(text) is
  'Seals this transaction for the token''s tenant; then take the token''s role with `set local role`. Pass the token as a bind '
  'parameter. Raises token_invalid, token_expired, tenant_unknown, tenant_suspended, membership_required, context_sealed.';
grant execute on function auth.enter(text) to
  authenticator, rowhouse_worker, rowhouse_edge, rowhouse_migrator, rowhouse_owner;
set role rowhouse_owner;

--@ function auth.pre_request()
set role rowhouse_sealer;
create function auth.pre_request()
returns void
language plpgsql
volatile
security definer -- the sealer alone may write the protected variable
set search_path = ''
parallel unsafe
as $$
declare
  headers json := nullif(current_setting('request.headers', true), '')::json;
  token text := auth.current_token();
  call_stack text;
begin
  -- PostgREST calls the gate by itself. Called from inside a function, it is an injection that emptied the seal (RESET ALL
  -- may) and would enter again with another token, to carry rows from one tenant to the other.
  get diagnostics call_stack = pg_context;
  if call_stack like E'%\n%' then
    perform request.raise_error('context_sealed', 'the gate is passed before a call, not from inside it');
  elsif token is null then
    perform request.raise_error('token_required', null, 'send an Authorization header: Bearer <token>');
  end if;
  perform auth.enter(token);
  if request.role() is distinct from current_setting('role') then
    perform request.raise_error('token_invalid', 'the role of the request is not the role of the token');
  end if;
  if headers ->> 'x-tenant-id' is distinct from null
     and headers ->> 'x-tenant-id' is distinct from split_part(request.seal(), ' ', 1) then
    perform request.raise_error('tenant_mismatch', 'X-Tenant-Id names another tenant');
  end if;
  -- The planner's estimate is made from statistics over every tenant's rows: it would tell how common a value is next door.
  if headers ->> 'prefer' ~* 'count\s*=\s*(planned|estimated)' then
    perform request.raise_error('count_inexact', 'estimates are drawn from all tenants'' rows', 'use Prefer: count=exact');
  end if;
end
$$;
comment on function auth.pre_request() is
  'The gate before every call of PostgREST. Raises what auth.enter() raises, token_required, tenant_mismatch, count_inexact.';
grant execute on function auth.pre_request() to anon, tenant_user, operator;
set role rowhouse_owner;

--@ function auth.pre_config()
set role rowhouse_sealer;
create function auth.pre_config()
returns void
language plpgsql
volatile
security definer -- reads the keys for PostgREST, which may not
set search_path = ''
parallel unsafe
as $$
begin
  perform set_config('pgrst.jwt_secret', (
    select json_build_object('keys', coalesce(json_agg(json_build_object('kty', 'oct', 'alg', 'HS256', 'kid', kid,
      'k', auth.encode_base64url(api_secret)) order by kid), '[]'))::text
    from auth.signing_keys where status <> 'retired'), true);
end
$$;
comment on function auth.pre_config() is
  'Gives PostgREST the JWKS that it checks tokens with (RFC 7517): keys derived one way from the real ones.';
grant execute on function auth.pre_config() to authenticator;
set role rowhouse_owner;

--@ function auth.require_operator()
create function auth.require_operator()
returns void
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
begin
  -- The database role alone is not enough: whoever holds the authenticator's password can take it.
  if request.role() is distinct from 'operator' then
    perform request.raise_error('role_insufficient', 'only an operator keeps the directory', 'use an operator''s token');
  end if;
end
$$;
comment on function auth.require_operator() is 'Raises role_insufficient unless the sealed role is operator.';

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

--@ function auth.issue_token(text, text, text, interval, text)
create function auth.issue_token(
  tenant_id text, subject text, tenant_role text, ttl interval default '1 hour', role text default 'tenant_user')
returns text
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  issued_at bigint := extract(epoch from now());
begin
  if ttl <= '0'::interval or ttl > '31 days'::interval then
    perform request.raise_error('token_invalid', 'a token lives for more than nothing and at most 31 days');
  elsif role = 'tenant_user' and tenancy.role_rank(tenant_role) is null then
    perform request.raise_error('token_invalid', 'the tenant role is not viewer, member, admin or owner');
  end if;
  return auth.sign_claims(jsonb_strip_nulls(jsonb_build_object(
    'iss', 'rowhouse', 'aud', 'rowhouse', 'sub', subject, 'role', role, 'tenant_id', tenant_id, 'tenant_role', tenant_role,
    'scope', '', 'iat', issued_at, 'exp', issued_at + extract(epoch from ttl)::bigint, 'jti', gen_random_uuid())));
end
$$;
comment on function auth.issue_token(text, text, text, interval, text) is
  'A sealed token. tenant_role: the most that it may carry; the gate still asks for membership. An operator''s has no tenant. '
  'Raises token_invalid.';

--@ function auth.issue_service_token(text, text, interval)
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

--@ function auth.rotate_signing_key()
set role rowhouse_sealer;
create function auth.rotate_signing_key()
returns text
language plpgsql
volatile
security definer -- only the sealer may touch signing keys
set search_path = ''
parallel unsafe
as $$
declare
  new_kid text;
begin
  update auth.signing_keys set status = 'accepted' where status = 'active';
  insert into auth.signing_keys default values returning kid into new_kid;
  notify pgrst, 'reload config';
  return new_kid;
end
$$;
comment on function auth.rotate_signing_key() is
  'Makes a new key active. The one before stays accepted until it is retired: retire it when its tokens have expired.';
grant execute on function auth.rotate_signing_key() to rowhouse_owner;
set role rowhouse_owner;

--@ function auth.retire_signing_key(text)
set role rowhouse_sealer;
create function auth.retire_signing_key(retired_kid text)
returns void
language plpgsql
volatile
security definer -- only the sealer may touch signing keys
set search_path = ''
parallel unsafe
as $$
begin
  update auth.signing_keys set status = 'retired', retired_at = now() where kid = retired_kid and status = 'accepted';
  if not found then
    perform request.raise_error('key_unknown', 'no accepted key has this kid', 'rotate first: the active key cannot be retired');
  end if;
  notify pgrst, 'reload config';
end
$$;
comment on function auth.retire_signing_key(text) is 'Refuses every token that the key signed, from the next request on. Raises key_unknown.';
grant execute on function auth.retire_signing_key(text) to rowhouse_owner;
set role rowhouse_owner;

--@ function auth.list_signing_keys()
set role rowhouse_sealer;
create function auth.list_signing_keys()
returns table (kid text, status text, created_at timestamptz, retired_at timestamptz)
language sql
stable
security definer -- only the sealer may touch signing keys
set search_path = ''
parallel safe
begin atomic
  select kid, status, created_at, retired_at from auth.signing_keys order by created_at desc;
end;
comment on function auth.list_signing_keys() is 'The signing keys, newest first, without their secrets.';
grant execute on function auth.list_signing_keys() to rowhouse_owner;
set role rowhouse_owner;

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ drop function auth.list_signing_keys()
drop function auth.list_signing_keys();

--@ drop function auth.retire_signing_key(text)
drop function auth.retire_signing_key(text);

--@ drop function auth.rotate_signing_key()
drop function auth.rotate_signing_key();

--@ drop function auth.issue_service_token(text, text, interval)
drop function auth.issue_service_token(text, text, interval);

--@ drop function auth.issue_token(text, text, text, interval, text)
drop function auth.issue_token(text, text, text, interval, text);

--@ drop function auth.sign_claims(jsonb)
drop function auth.sign_claims(jsonb);

--@ drop function auth.require_operator()
drop function auth.require_operator();

--@ drop function auth.pre_config()
drop function auth.pre_config();

--@ drop function auth.pre_request()
drop function auth.pre_request();

--@ drop function auth.enter(text)
drop function auth.enter(text);
