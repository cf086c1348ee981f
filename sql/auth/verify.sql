--@ function auth.decode_base64url(text)
create function auth.decode_base64url(encoded text)
returns bytea
language sql
immutable
strict
security invoker
parallel safe
return decode(rpad(translate(encoded, '-_', '+/'), (length(encoded) + 3) / 4 * 4, '='), 'base64');
comment on function auth.decode_base64url(text) is 'RFC 4648 section 5, unpadded. Raises invalid_parameter_value on anything else.';
grant execute on function auth.decode_base64url(text) to rowhouse_sealer;

--@ function auth.encode_base64url(bytea)
create function auth.encode_base64url(raw bytea)
returns text
language sql
immutable
strict
security invoker
parallel safe
return rtrim(translate(encode(raw, 'base64'), E'+/\n', '-_'), '=');
comment on function auth.encode_base64url(bytea) is 'RFC 4648 section 5, unpadded.';
grant execute on function auth.encode_base64url(bytea) to rowhouse_sealer;

--@ function auth.verify_token(text)
set role rowhouse_sealer;
create function auth.verify_token(token text)
returns jsonb
language plpgsql
stable
security definer -- only the sealer may read signing keys
set search_path = ''
parallel safe
as $$
declare
  parts text[] := string_to_array(token, '.');
  header jsonb;
  claims jsonb;
  key auth.signing_keys;
  now_epoch bigint := extract(epoch from clock_timestamp()); -- an old transaction must not keep a token alive
  problem text;
begin
  if cardinality(parts) is distinct from 3 or length(token) > 4096 or token !~ '^[A-Za-z0-9_.-]+$' then
    perform request.raise_error('token_invalid', 'not a compact JWS');
  end if;
  begin
    header := convert_from(auth.decode_base64url(parts[1]), 'UTF8')::jsonb;
  exception when data_exception then
    perform request.raise_error('token_invalid', 'the header is not base64url JSON');
  end;
  if header ->> 'alg' is distinct from 'HS256' then
    perform request.raise_error('token_invalid', 'the algorithm is not HS256');
  end if;
  select * into key from auth.signing_keys where kid = header ->> 'kid' and status <> 'retired';
  if not found then
    perform request.raise_error('token_invalid', 'the key is unknown or retired', 'get a new token');
  end if;
  -- Two signatures. The JWS one is what PostgREST checks, with a key that its database login can read. The seal is what
  -- counts here: made over the payload with a secret that never leaves the database. Hashed before comparing, so that how
  -- much of a forged signature was right cannot be timed.
  if sha256(convert_to(header ->> 'seal', 'UTF8')) is distinct from sha256(convert_to(auth.encode_base64url(
       extensions.hmac(convert_to(parts[2], 'UTF8'), key.secret, 'sha256')), 'UTF8'))
     or sha256(convert_to(parts[3], 'UTF8')) is distinct from sha256(convert_to(auth.encode_base64url(
       extensions.hmac(convert_to(parts[1] || '.' || parts[2], 'UTF8'), key.api_secret, 'sha256')), 'UTF8')) then
    perform request.raise_error('token_invalid', 'the signature does not match');
  end if;

  claims := convert_from(auth.decode_base64url(parts[2]), 'UTF8')::jsonb;
  if (claims ->> 'exp')::bigint <= now_epoch then
    perform request.raise_error('token_expired', null, 'get a new token');
  end if;
  problem := case
    when claims ->> 'exp' is null then 'the token never expires'
    when (claims ->> 'iat')::bigint > now_epoch or coalesce((claims ->> 'nbf')::bigint > now_epoch, false)
      then 'the token is not valid yet'
    when claims ->> 'iss' is distinct from 'rowhouse' then 'the issuer is not rowhouse'
    when claims ->> 'aud' is distinct from 'rowhouse' then 'the audience is not rowhouse'
    when coalesce(claims ->> 'sub', '') = '' or coalesce(claims ->> 'jti', '') = '' then 'sub or jti is missing'
  end;
  if problem is not null then
    perform request.raise_error('token_invalid', problem);
  end if;
  return claims;
end
$$;
comment on function auth.verify_token(text) is
  'The claims of a token whose seal, key, time, issuer and audience hold (RFC 7515, RFC 7519). Raises token_invalid, token_expired.';
set role rowhouse_owner;

--@ function auth.seal_for(text)
set role rowhouse_sealer;
create function auth.seal_for(token text)
returns text
language plpgsql
stable
security definer -- looks up membership before any tenant context exists
set search_path = ''
parallel safe
as $$
declare
  claims jsonb := auth.verify_token(token);
  claimed_tenant text := claims ->> 'tenant_id';
  claimed_role text := claims ->> 'role';
  tenant_status text;
  timeout_ms integer;
  rank integer := 0;
  reads_only text;
begin
  if claimed_role = 'operator' then
    if claimed_tenant is not null then
      perform request.raise_error('token_invalid', 'an operator has no tenant');
    elsif not exists (select from auth.operators where subject = claims ->> 'sub') then
      perform request.raise_error('membership_required', 'the subject is not an operator');
    end if;
  elsif claimed_role in ('tenant_user', 'rowhouse_worker', 'rowhouse_edge') then
    select tenant.status, date_part('epoch', coalesce(own.statement_timeout, plan.statement_timeout)) * 1000
    into tenant_status, timeout_ms
    from tenancy.tenants as tenant
    join tenancy.plans as plan on plan.tier = tenant.tier
    left join tenancy.tenant_settings as own on own.tenant_id = tenant.id
    where tenant.id = claimed_tenant;
    if not found then
      perform request.raise_error('tenant_unknown');
    elsif tenant_status = 'suspended' then
      perform request.raise_error('tenant_suspended', null, 'ask the operator to resume the tenant');
    end if;
    if claimed_role = 'tenant_user' and claims ? 'key_id' then
      select admitted.rank, case when not admitted.may_write then 'r' end into rank, reads_only
      from auth.admit_api_key(claims) as admitted;
    elsif claimed_role = 'tenant_user' then
      -- A token can carry less than its subject's membership, never more: a downgrade takes effect on the next request.
      select least(tenancy.role_rank(role), tenancy.role_rank(claims ->> 'tenant_role')) into rank
      from tenancy.members
      where tenant_id = claimed_tenant and user_id = claims ->> 'sub'
        and tenancy.role_rank(claims ->> 'tenant_role') is not null; -- least() passes over nulls
      if not found then
        perform request.raise_error('membership_required', null, 'ask an admin of the tenant to add you');
      end if;
    end if;
  else
    perform request.raise_error('token_invalid', 'the role is unknown');
  end if;
  return concat_ws(' ', coalesce(claimed_tenant, '_'), rank, claimed_role,
    encode(convert_to(claims ->> 'sub', 'UTF8'), 'hex'), encode(convert_to(claims ->> 'jti', 'UTF8'), 'hex'), timeout_ms, reads_only);
end
$$;
comment on function auth.seal_for(text) is
  'What the gate writes into the protected variable: tenant, rank of the member''s role, role, and subject and token id as hex, '
  'since the variable holds letters, digits, _ and space; of tenants also the statement timeout in ms; then r where nothing may be written. Raises what auth.verify_token() raises, '
  'tenant_unknown, tenant_suspended, membership_required, api_key_invalid.';
set role rowhouse_owner;

--@ function auth.seal_is_protected()
create function auth.seal_is_protected()
returns boolean
language sql
stable
security invoker
parallel safe
return has_parameter_privilege('rowhouse_sealer', 'backtrace_functions', 'set');
comment on function auth.seal_is_protected() is
  'Whether this server let the sealer write the protected variable; where not, each statement verifies the token.';
grant execute on function auth.seal_is_protected()
  to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;

--@ function auth.current_token()
create function auth.current_token()
returns text
language sql
stable
security invoker
parallel safe
return coalesce(
  substring(nullif(current_setting('request.headers', true), '')::json ->> 'authorization' from '^[Bb][Ee][Aa][Rr][Ee][Rr] +(\S+)$'),
  nullif(current_setting('rowhouse.token', true), ''));
comment on function auth.current_token() is
  'The bearer token of the request or of auth.enter(). Anyone can write it: it is worth what auth.verify_token() says.';
grant execute on function auth.current_token() to rowhouse_sealer;

--@ function auth.verified_seal()
set role rowhouse_sealer;
create function auth.verified_seal()
returns text
language sql
stable
security definer -- as auth.seal_for()
set search_path = ''
parallel safe
begin atomic
  select case
    when auth.seal_is_protected() or auth.current_token() is null then null
    else auth.seal_for(auth.current_token())
  end;
end;
comment on function auth.verified_seal() is
  'The seal where no variable can be protected: verified anew in each statement. Null where the variable is protected, '
  'so that nothing but the gate can set a context there.';
grant execute on function auth.verified_seal()
  to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_owner;
set role rowhouse_owner;
