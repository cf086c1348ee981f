--@ view v1.api_keys
create view v1.api_keys with (security_invoker = true) as
  select k.tenant_id, k.id, k.name, k.scopes, k.tenant_role, k.allowed_networks, k.expires_at, k.created_by, k.created_at,
    k.updated_at, k.revoked_at, u.last_used_at
  from auth.api_keys as k left join auth.api_key_uses as u on (u.tenant_id, u.key_id) = (k.tenant_id, k.id);
comment on view v1.api_keys is $$API keys

What programs of the tenant come in with. For admins and owners. Make one with create_api_key, end one with revoke_api_key.$$;
comment on column v1.api_keys.id is 'The second-last part of the key: rh_live_<tenant>_<id>_<secret>.';
comment on column v1.api_keys.scopes is '`read`; `write`, without which nothing is written; `admin`, without which it acts as a member at most.';
comment on column v1.api_keys.tenant_role is 'The most that it may do: viewer, member or admin.';
comment on column v1.api_keys.allowed_networks is 'Where it may be used from; anywhere where null.';
comment on column v1.api_keys.revoked_at is 'From then on it is refused, and so are the tokens made from it.';
comment on column v1.api_keys.last_used_at is 'To within a minute.';
grant select on v1.api_keys to tenant_user;

--@ data v1.api_keys
select ledger.add_event_source('auth.api_keys', 'v1.api_keys', 'admin');

--@ function v1.create_api_key(text,text[],text,timestamptz,cidr[])
create function v1.create_api_key(
  name text, scopes text[] default '{read}', tenant_role text default null, expires_at timestamptz default null,
  allowed_networks cidr[] default null)
returns json
language plpgsql
volatile
security definer -- clients hold no grant to write keys: these functions alone
set search_path = ''
parallel unsafe
as $$
declare
  broken text;
begin
  if not request.has_tenant_role('admin') then
    perform request.raise_error('role_insufficient', 'only an admin or owner makes API keys', 'ask an admin of your tenant');
  elsif starts_with(request.subject(), 'key:') then
    -- A key that leaks and is revoked must not live on in one that it made.
    perform request.raise_error('role_insufficient', 'an API key makes no API keys', 'use a member''s token');
  elsif expires_at <= now() then
    perform request.raise_error('api_key_malformed', 'expires_at has passed');
  end if;
  -- Nobody on the way keeps the secret, the edge's Idempotency-Key included.
  set local response.headers = '[{"Cache-Control": "no-store"}]';
  return auth.make_api_key(name, scopes, coalesce(tenant_role,
    case when 'admin' = any (scopes) then 'admin' when 'write' = any (scopes) then 'member' else 'viewer' end),
    expires_at, allowed_networks);
exception
  when check_violation or not_null_violation then
    get stacked diagnostics broken = constraint_name;
    perform request.raise_error('api_key_malformed', format('%s does not hold', coalesce(nullif(broken, ''), 'a required value')),
      'name: 1 to 200 characters; scopes: read, and write or admin; tenant_role: viewer, member or admin; 1 to 64 networks');
end
$$;
comment on function v1.create_api_key(text, text[], text, timestamptz, cidr[]) is $$Make an API key

For admins and owners. The answer has the key, this once: it is stored as a hash. scopes: read; write; admin. tenant_role: the most that it may do,
by default what its scopes need. Without expires_at it lives until it is revoked, without allowed_networks it is good from anywhere.$$;
grant execute on function v1.create_api_key(text, text[], text, timestamptz, cidr[]) to tenant_user;

--@ function v1.revoke_api_key(text)
create function v1.revoke_api_key(id text)
returns json
language plpgsql
volatile
security definer -- as v1.create_api_key()
set search_path = ''
parallel unsafe
as $$
declare
  ended timestamptz;
begin
  if not request.has_tenant_role('admin') then
    perform request.raise_error('role_insufficient', 'only an admin or owner revokes API keys', 'ask an admin of your tenant');
  end if;
  ended := auth.end_api_key(id);
  if ended is null then
    perform request.raise_error('api_key_unknown');
  end if;
  return json_build_object('id', id, 'revoked_at', ended);
end
$$;
comment on function v1.revoke_api_key(text) is $$Revoke an API key

For admins and owners. It, and every token made from it, is refused from the next request on. Safe to repeat.$$;
grant execute on function v1.revoke_api_key(text) to tenant_user;
