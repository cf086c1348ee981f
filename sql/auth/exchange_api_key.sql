--@ function auth.exchange_api_key(text,inet,text[],interval)
set role rowhouse_sealer;
create function auth.exchange_api_key(
  api_key text, address inet, wanted_scopes text[] default null, ttl interval default '15 minutes')
returns json
language plpgsql
volatile
security definer -- reads the hash, and signs
set search_path = ''
parallel unsafe
as $$
declare
  parts text[] := regexp_match(api_key, '^rh_live_([a-z0-9][a-z0-9_]{0,46})_([0-9a-f]{16})_[0-9a-f]{64}$');
  key auth.api_keys;
  scopes text[];
  lifetime interval;
begin
  -- By its hash, whole: how much of a guess was right cannot be timed, and each failure is the same one look-up.
  select k.* into key
  from auth.api_key_hashes as h join auth.api_keys as k on (k.tenant_id, k.id) = (h.tenant_id, h.key_id)
  where h.tenant_id = 't_' || parts[1] and h.key_id = parts[2] and h.hash = sha256(convert_to(api_key, 'UTF8'));
  if not found then
    perform request.raise_error('api_key_invalid', null, 'check that the whole key was sent');
  elsif key.revoked_at is not null then
    perform request.raise_error('api_key_invalid', 'the API key is revoked', 'ask an admin of the tenant for another');
  elsif key.expires_at <= clock_timestamp() then
    perform request.raise_error('api_key_invalid', 'the API key has expired', 'ask an admin of the tenant for another');
  elsif key.allowed_networks is not null and (address <<= any (key.allowed_networks)) is not true then
    perform request.raise_error('address_refused', 'the API key is for other networks', 'an admin of the tenant can make a key for this one');
  elsif (select status from tenancy.tenants where id = key.tenant_id) = 'suspended' then
    perform request.raise_error('tenant_suspended', null, 'ask the operator to resume the tenant');
  elsif not wanted_scopes <@ key.scopes then
    perform request.raise_error('scope_insufficient', 'the API key does not have all of these scopes', 'ask for fewer');
  end if;
  -- Without read, a token could do nothing.
  scopes := array(select scope from unnest(key.scopes) as scope
    where wanted_scopes is null or scope = 'read' or scope = any (wanted_scopes) order by scope);
  lifetime := least(ttl, '1 hour', key.expires_at - now());
  insert into auth.api_key_uses (tenant_id, key_id, last_used_at) values (key.tenant_id, key.id, now())
  on conflict on constraint api_key_uses_pkey do update set last_used_at = greatest(api_key_uses.last_used_at, excluded.last_used_at);
  return json_build_object('tenant_id', key.tenant_id, 'key_id', key.id, 'scope', array_to_string(scopes, ' '),
    'expires_in', ceil(extract(epoch from lifetime)),
    'token', auth.sign_claims(auth.claims_for('key:' || key.id, 'tenant_user', lifetime, jsonb_build_object(
      'tenant_id', key.tenant_id, 'tenant_role', key.tenant_role, 'key_id', key.id, 'scope', array_to_string(scopes, ' ')))));
end
$$;
comment on function auth.exchange_api_key(text, inet, text[], interval) is
  'A sealed token of an API key, for at most an hour: {token, expires_in, tenant_id, key_id, scope}. address: where it is used from, as the '
  'edge saw it; wanted_scopes: fewer than the key''s. Raises api_key_invalid, address_refused, tenant_suspended, scope_insufficient.';
grant execute on function auth.exchange_api_key(text, inet, text[], interval) to rowhouse_edge;
set role rowhouse_owner;

--@ function auth.record_api_key_uses(jsonb)
set role rowhouse_sealer;
create function auth.record_api_key_uses(uses jsonb)
returns void
language sql
volatile
security definer -- writes uses of every tenant's keys, together
set search_path = ''
parallel unsafe
begin atomic
  update auth.api_key_uses as known set last_used_at = used.latest
  from (
    select tenant_id, key_id, least(max(last_used_at), clock_timestamp()) as latest -- an edge's clock may be ahead
    from jsonb_to_recordset(uses) as counted (tenant_id text, key_id text, last_used_at timestamptz)
    group by tenant_id, key_id
  ) as used
  where known.tenant_id = used.tenant_id and known.key_id = used.key_id and known.last_used_at < used.latest;
end;
comment on function auth.record_api_key_uses(jsonb) is
  'What an edge has counted since it last told: an array of {tenant_id, key_id, last_used_at}. Keys that are gone are passed over.';
grant execute on function auth.record_api_key_uses(jsonb) to rowhouse_edge;
set role rowhouse_owner;

--@ function auth.list_api_keys(text)
set role rowhouse_sealer;
create function auth.list_api_keys(tenant_id text)
returns table (id text, name text, scopes text[], tenant_role text, allowed_networks cidr[], expires_at timestamptz,
  created_by text, created_at timestamptz, revoked_at timestamptz, last_used_at timestamptz)
language sql
stable
security definer -- the owner reads no tenant's rows
set search_path = ''
parallel safe
begin atomic
  select k.id, k.name, k.scopes, k.tenant_role, k.allowed_networks, k.expires_at, k.created_by, k.created_at, k.revoked_at,
    u.last_used_at
  from auth.api_keys as k left join auth.api_key_uses as u on (u.tenant_id, u.key_id) = (k.tenant_id, k.id)
  where k.tenant_id = list_api_keys.tenant_id
  order by k.created_at desc, k.id;
end;
comment on function auth.list_api_keys(text) is 'A tenant''s API keys, newest first, for the CLI: not their secrets.';
grant execute on function auth.list_api_keys(text) to rowhouse_owner;
set role rowhouse_owner;
