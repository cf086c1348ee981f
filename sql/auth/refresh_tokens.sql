--@ table auth.refresh_tokens
create table auth.refresh_tokens (
  tenant_id tenancy.tenant_id not null,
  hash bytea not null,
  family_id uuid not null,
  subject text not null,
  issuer text collate "C" not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  constraint refresh_tokens_pkey primary key (tenant_id, hash),
  constraint refresh_tokens_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
  constraint refresh_tokens_hash_length check (octet_length(hash) = 32)
) partition by hash (tenant_id);
create index refresh_tokens_family_idx on auth.refresh_tokens (tenant_id, family_id);
comment on table auth.refresh_tokens is
  'SHA-256 of each refresh token. Those of one sign-in are a family: the newest is good once, an older one that comes back ends them all.';
comment on column auth.refresh_tokens.expires_at is 'Of the family: using it does not make it longer.';
select tenancy.protect('auth.refresh_tokens', partitions => 1, ledger => false, write_role => 'owner', client_verbs => '{}');
grant select, insert, update, delete on auth.refresh_tokens to rowhouse_sealer;

--@ policy "The sealer keeps the refresh tokens" on auth.refresh_tokens
create policy "The sealer keeps the refresh tokens" on auth.refresh_tokens
  for all to rowhouse_sealer using (true) with check (true);

--@ function auth.refresh_token_tenant(text)
create function auth.refresh_token_tenant(refresh_token text)
returns text
language sql
immutable
security invoker
parallel safe
return 't_' || (regexp_match(refresh_token, '^rh_refresh_([a-z0-9][a-z0-9_]{0,46})_[0-9a-f]{64}$'))[1];
comment on function auth.refresh_token_tenant(text) is 'The tenant that a refresh token names; null where it has another form.';
grant execute on function auth.refresh_token_tenant(text) to rowhouse_sealer;

--@ function auth.grant_session(text,text,text,interval,uuid,timestamptz)
set role rowhouse_sealer;
create function auth.grant_session(
  tenant_id text, subject text, issuer text, ttl interval, family_id uuid, refresh_until timestamptz)
returns json
language plpgsql
volatile
security definer -- only the sealer keeps refresh tokens, and signs
set search_path = ''
parallel unsafe
as $$
declare
  member_role text := (
    select m.role from tenancy.members as m where m.tenant_id = grant_session.tenant_id and m.user_id = grant_session.subject);
  refresh_token text := format('rh_refresh_%s_%s', substr(tenant_id, 3), encode(extensions.gen_random_bytes(32), 'hex'));
  lifetime interval := least(ttl, '1 hour');
begin
  if member_role is null then
    perform request.raise_error('membership_required', null, 'ask an admin of the tenant to add you');
  elsif (select status from tenancy.tenants where id = grant_session.tenant_id) = 'suspended' then
    perform request.raise_error('tenant_suspended', null, 'ask the operator to resume the tenant');
  end if;
  insert into auth.refresh_tokens (tenant_id, hash, family_id, subject, issuer, expires_at)
  values (grant_session.tenant_id, sha256(convert_to(refresh_token, 'UTF8')), grant_session.family_id, grant_session.subject,
    grant_session.issuer, refresh_until);
  return json_build_object('tenant_id', tenant_id, 'expires_in', extract(epoch from lifetime), 'refresh_token', refresh_token,
    'token', auth.sign_claims(auth.claims_for(subject, 'tenant_user', lifetime,
      jsonb_build_object('tenant_id', tenant_id, 'tenant_role', member_role))));
end
$$;
comment on function auth.grant_session(text, text, text, interval, uuid, timestamptz) is
  'A sealed token with the member''s role and the next refresh token of its family: {token, expires_in, tenant_id, refresh_token}. '
  'Raises membership_required, tenant_suspended.';
set role rowhouse_owner;

--@ function auth.refresh_session(text,interval)
set role rowhouse_sealer;
create function auth.refresh_session(refresh_token text, ttl interval default '15 minutes')
returns json
language plpgsql
volatile
security definer -- as auth.grant_session()
set search_path = ''
parallel unsafe
as $$
declare
  known auth.refresh_tokens;
begin
  -- Of two that come at once with the same token, the second waits here and then finds it used.
  select * into known from auth.refresh_tokens as t
  where t.tenant_id = auth.refresh_token_tenant(refresh_token) and t.hash = sha256(convert_to(refresh_token, 'UTF8'))
  for update;
  if not found then
    return null;
  end if;
  if known.used_at is not null or known.expires_at <= clock_timestamp()
     or not exists (select from auth.issuers as i where i.issuer = known.issuer and i.enabled)
     or not exists (select from tenancy.members as m where m.tenant_id = known.tenant_id and m.user_id = known.subject) then
    delete from auth.refresh_tokens as t where t.tenant_id = known.tenant_id and t.family_id = known.family_id;
    return null; -- an error would undo the deletion
  end if;
  update auth.refresh_tokens as t set used_at = clock_timestamp() where t.tenant_id = known.tenant_id and t.hash = known.hash;
  return auth.grant_session(known.tenant_id, known.subject, known.issuer, ttl, known.family_id, known.expires_at);
end
$$;
comment on function auth.refresh_session(text, interval) is
  'The next token of a session, and the refresh token after this one (RFC 9700, 4.14.2). Null where it is unknown, expired, used before, or its issuer or '
  'membership is gone: its family ends then. Raises tenant_suspended.';
grant execute on function auth.refresh_session(text, interval) to rowhouse_edge;
set role rowhouse_owner;

--@ function auth.revoke_refresh_token(text)
set role rowhouse_sealer;
create function auth.revoke_refresh_token(refresh_token text)
returns void
language sql
volatile
security definer -- as auth.grant_session()
set search_path = ''
parallel unsafe
begin atomic
  delete from auth.refresh_tokens as t using auth.refresh_tokens as known
  where known.tenant_id = auth.refresh_token_tenant(refresh_token) and known.hash = sha256(convert_to(refresh_token, 'UTF8'))
    and t.tenant_id = known.tenant_id and t.family_id = known.family_id;
end;
comment on function auth.revoke_refresh_token(text) is 'Ends the family of a refresh token (RFC 7009). Nothing happens where it is unknown.';
grant execute on function auth.revoke_refresh_token(text) to rowhouse_edge;
set role rowhouse_owner;

--@ function auth.purge_refresh_tokens()
set role rowhouse_sealer;
create function auth.purge_refresh_tokens()
returns bigint
language sql
volatile
security definer -- as auth.grant_session()
set search_path = ''
parallel unsafe
begin atomic
  with removed as (delete from auth.refresh_tokens where expires_at < now() returning 1)
  select count(*) from removed;
end;
comment on function auth.purge_refresh_tokens() is 'Removes refresh tokens that have expired, and returns how many. The worker''s housekeeping.';
grant execute on function auth.purge_refresh_tokens() to rowhouse_worker;
set role rowhouse_owner;
