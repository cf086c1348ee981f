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

--@ function auth.api_keyset()
set role rowhouse_sealer;
create function auth.api_keyset()
returns json
language sql
stable
security definer -- only the sealer may read signing keys
set search_path = ''
parallel safe
begin atomic
  select json_build_object('keys', coalesce(json_agg(json_build_object('kty', 'oct', 'alg', 'HS256', 'kid', kid,
    'k', auth.encode_base64url(api_secret)) order by kid), '[]'))
  from auth.signing_keys where status <> 'retired';
end;
comment on function auth.api_keyset() is
  'The JWKS (RFC 7517) of keys derived one way from the real ones: enough to tell a forged token from one that was issued, not to '
  'make one that the gate believes.';
grant execute on function auth.api_keyset() to rowhouse_edge;
set role rowhouse_owner;
