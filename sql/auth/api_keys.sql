--@ table auth.api_keys
create table auth.api_keys (
  tenant_id tenancy.tenant_id not null,
  id text collate "C" not null,
  name text not null,
  scopes text[] not null,
  tenant_role text collate "C" not null,
  allowed_networks cidr[],
  expires_at timestamptz,
  created_by text not null default request.subject(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  revoked_at timestamptz,
  constraint api_keys_pkey primary key (tenant_id, id),
  constraint api_keys_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
  constraint api_keys_id_form check (id ~ '^[0-9a-f]{16}$'),
  constraint api_keys_name_length check (length(name) between 1 and 200),
  constraint api_keys_scopes_known check (scopes <@ '{read,write,admin}' and scopes @> '{read}' and cardinality(scopes) <= 3),
  constraint api_keys_tenant_role_known check (tenant_role in ('viewer', 'member', 'admin')),
  constraint api_keys_allowed_networks_count check (cardinality(allowed_networks) between 1 and 64)
) partition by hash (tenant_id);
comment on table auth.api_keys is $$API keys

What programs of the tenant come in with. For admins and owners. Make one with create_api_key, end one with revoke_api_key.$$;
comment on column auth.api_keys.scopes is $$read; write, without which nothing is written; admin, without which it acts as a member at most.
@sample ["read", "write"]$$;
comment on column auth.api_keys.tenant_role is 'The most that it may do: viewer, member or admin.';
comment on column auth.api_keys.allowed_networks is 'Where it may be used from; anywhere where null. Checked when the edge exchanges it.';
comment on column auth.api_keys.expires_at is 'When it ends by itself; never where null.';
comment on column auth.api_keys.revoked_at is 'From then on it is refused, and so are the tokens made from it.';
-- One partition, as tenancy.members: the gate looks here on every request of a key.
select tenancy.protect('auth.api_keys', partitions => 1, read_role => 'admin', write_role => 'admin', client_verbs => '{}');
grant select on auth.api_keys to tenant_user;
grant select, insert, update on auth.api_keys to rowhouse_sealer;

--@ policy "The key functions keep any tenant's keys" on auth.api_keys
create policy "The key functions keep any tenant's keys" on auth.api_keys
  for all to rowhouse_sealer using (true) with check (true);

--@ table auth.api_key_hashes
create table auth.api_key_hashes (
  tenant_id tenancy.tenant_id not null,
  key_id text collate "C" not null,
  hash bytea not null,
  constraint api_key_hashes_pkey primary key (tenant_id, key_id),
  constraint api_key_hashes_key_fkey foreign key (tenant_id, key_id) references auth.api_keys (tenant_id, id) on delete cascade,
  constraint api_key_hashes_length check (octet_length(hash) = 32)
) partition by hash (tenant_id);
comment on table auth.api_key_hashes is
  'SHA-256 of each API key. Apart from auth.api_keys, whose rows the ledger copies. The secrets have 256 random bits: no salt, no stretching.';
select tenancy.protect('auth.api_key_hashes', partitions => 1, ledger => false, write_role => 'owner', client_verbs => '{}');
grant select, insert, delete on auth.api_key_hashes to rowhouse_sealer;

--@ policy "The sealer keeps the hashes" on auth.api_key_hashes
create policy "The sealer keeps the hashes" on auth.api_key_hashes
  for all to rowhouse_sealer using (true) with check (true);

--@ table auth.api_key_uses
create table auth.api_key_uses (
  tenant_id tenancy.tenant_id not null,
  key_id text collate "C" not null,
  last_used_at timestamptz not null,
  constraint api_key_uses_pkey primary key (tenant_id, key_id),
  constraint api_key_uses_key_fkey foreign key (tenant_id, key_id) references auth.api_keys (tenant_id, id) on delete cascade
) partition by hash (tenant_id);
comment on table auth.api_key_uses is 'When each API key was last used. Apart from auth.api_keys, since it is no change that anyone follows.';
select tenancy.protect('auth.api_key_uses', partitions => 1, ledger => false, read_role => 'admin', write_role => 'owner', client_verbs => '{}');
grant select on auth.api_key_uses to tenant_user;
grant select, insert, update on auth.api_key_uses to rowhouse_sealer;

--@ policy "The edge records uses through the sealer" on auth.api_key_uses
create policy "The edge records uses through the sealer" on auth.api_key_uses
  for all to rowhouse_sealer using (true) with check (true);

--@ function auth.admit_api_key(jsonb)
create function auth.admit_api_key(claims jsonb, out rank integer, out may_write boolean)
returns record
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
declare
  key auth.api_keys;
  asked text[] := string_to_array(claims ->> 'scope', ' ');
begin
  select * into key from auth.api_keys where tenant_id = claims ->> 'tenant_id' and id = claims ->> 'key_id';
  if not found or key.revoked_at is not null or key.expires_at <= clock_timestamp()
     or claims ->> 'sub' is distinct from 'key:' || key.id then
    perform request.raise_error('api_key_invalid', 'the API key is revoked, expired or gone', 'ask an admin of the tenant for another');
  end if;
  -- A token can carry less than its key, never more.
  may_write := coalesce('write' = any (key.scopes) and 'write' = any (asked), false);
  rank := least(tenancy.role_rank(key.tenant_role), coalesce(tenancy.role_rank(claims ->> 'tenant_role'), 0),
    case when 'admin' = any (key.scopes) and 'admin' = any (asked) then 3 when may_write then 2 else 1 end);
end
$$;
comment on function auth.admit_api_key(jsonb) is
  'Part of the gate, for tokens that were made from an API key: the rank that key, token and scopes leave, and whether it may write. '
  'Raises api_key_invalid.';
grant execute on function auth.admit_api_key(jsonb) to rowhouse_sealer;

--@ function auth.make_api_key(text,text[],text,timestamptz,cidr[])
set role rowhouse_sealer;
create function auth.make_api_key(
  name text, scopes text[], tenant_role text, expires_at timestamptz, allowed_networks cidr[])
returns json
language plpgsql
volatile
security definer -- nobody else may write the hash
set search_path = ''
parallel unsafe
as $$
declare
  made auth.api_keys;
  secret text;
begin
  insert into auth.api_keys (tenant_id, id, name, scopes, tenant_role, expires_at, allowed_networks)
  values (request.tenant_id(), encode(extensions.gen_random_bytes(8), 'hex'), make_api_key.name, make_api_key.scopes,
    make_api_key.tenant_role, make_api_key.expires_at, make_api_key.allowed_networks)
  returning * into made;
  secret := format('rh_live_%s_%s_%s', substr(made.tenant_id, 3), made.id, encode(extensions.gen_random_bytes(32), 'hex'));
  insert into auth.api_key_hashes (tenant_id, key_id, hash) values (made.tenant_id, made.id, sha256(convert_to(secret, 'UTF8')));
  return json_build_object('id', made.id, 'key', secret, 'name', made.name, 'scopes', made.scopes,
    'tenant_role', made.tenant_role, 'allowed_networks', made.allowed_networks, 'expires_at', made.expires_at,
    'created_by', made.created_by, 'created_at', made.created_at);
end
$$;
comment on function auth.make_api_key(text, text[], text, timestamptz, cidr[]) is
  'Part of v1.create_api_key(): a key of the sealed tenant. `rh_live_`, the tenant without t_, 16 hex digits that are its id, 64 that are secret.';
grant execute on function auth.make_api_key(text, text[], text, timestamptz, cidr[]) to rowhouse_owner;
set role rowhouse_owner;

--@ function auth.end_api_key(text)
set role rowhouse_sealer;
create function auth.end_api_key(key_id text)
returns timestamptz
language sql
volatile
security definer -- as auth.make_api_key()
set search_path = ''
parallel unsafe
begin atomic
  update auth.api_keys set revoked_at = coalesce(revoked_at, now())
  where tenant_id = request.tenant_id() and id = end_api_key.key_id
  returning revoked_at;
end;
comment on function auth.end_api_key(text) is 'Part of v1.revoke_api_key(): when the sealed tenant''s key was revoked; null where there is none.';
grant execute on function auth.end_api_key(text) to rowhouse_owner;
set role rowhouse_owner;
