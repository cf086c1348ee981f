--@ function auth.decode_base64url(text)
create function auth.decode_base64url(encoded text)
returns bytea
language sql
immutable
strict
security invoker
parallel safe
-- Two replace() and repeat() take a tenth of the time of translate() and rpad() on a text as long as a token's.
return decode(replace(replace(encoded, '-', '+'), '_', '/') || repeat('=', -octet_length(encoded) & 3), 'base64');
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
return translate(encode(raw, 'base64'), E'+/\n=', '-_');
comment on function auth.encode_base64url(bytea) is 'RFC 4648 section 5, unpadded.';
grant execute on function auth.encode_base64url(bytea) to rowhouse_sealer;

--@ function auth.signed_claims(text)
set role rowhouse_sealer;
create function auth.signed_claims(token text)
returns table (claims jsonb)
language sql
stable
security invoker
parallel safe
-- Nothing of the token is decoded before it is known to be ours: it is compared with what auth.sign_claims() would have made of
-- its payload with one of the live keys. Two signatures. The JWS one is what PostgREST checks, with a key that its database login
-- can read. The seal in the header is what counts here: made over the payload with a secret that never leaves the database.
-- Hashed before comparing, so that how much of a forged signature was right cannot be timed.
begin atomic
  select convert_from(auth.decode_base64url(payload), 'UTF8')::jsonb as claims
  from (select split_part(token, '.', 2) as payload offset 0) as jws -- offset 0: evaluated once
  cross join auth.signing_keys as key
  where key.status <> 'retired'
    and sha256(convert_to(token, 'UTF8')) = sha256(convert_to(
      auth.encode_base64url(convert_to(format('{"alg":"HS256","typ":"JWT","kid":"%s","seal":"%s"}', key.kid,
        auth.encode_base64url(extensions.hmac(convert_to(payload, 'UTF8'), key.secret, 'sha256'))), 'UTF8'))
      || '.' || payload || '.'
      -- 44: a dot and the 43 characters of a signature.
      || auth.encode_base64url(extensions.hmac(convert_to(left(token, -44), 'UTF8'), key.api_secret, 'sha256')), 'UTF8'))
  offset 0;
end;
comment on function auth.signed_claims(text) is
  'The claims of a token that this database made and a live key signed (RFC 7515); no row for any other. What they say is not '
  'checked here.';
set role rowhouse_owner;

--@ function auth.refuse_token(text)
set role rowhouse_sealer;
create function auth.refuse_token(token text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
declare
  parts text[] := string_to_array(token, '.');
  header jsonb;
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
  elsif not exists (select from auth.signing_keys where kid = header ->> 'kid' and status <> 'retired') then
    perform request.raise_error('token_invalid', 'the key is unknown or retired', 'get a new token');
  end if;
  perform request.raise_error('token_invalid', 'the signature does not match');
end
$$;
comment on function auth.refuse_token(text) is 'Says why auth.signed_claims() gave nothing. Always raises token_invalid.';
set role rowhouse_owner;

--@ function auth.verify_token(text)
set role rowhouse_sealer;
create function auth.verify_token(token text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
declare
  claims jsonb;
  now_epoch bigint := extract(epoch from clock_timestamp()); -- an old transaction must not keep a token alive
  problem text;
begin
  select signed.claims into claims from auth.signed_claims(token) as signed;
  if not found or length(token) > 4096 then
    perform auth.refuse_token(token);
  end if;
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

