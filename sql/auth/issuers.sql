--@ table auth.issuers
create table auth.issuers (
  issuer text collate "C" not null,
  subject_prefix text collate "C" not null,
  audiences text[] not null,
  algorithms text[] not null default '{RS256,ES256,EdDSA}',
  jwks_uri text collate "C",
  enabled boolean not null default true,
  created_at timestamptz not null default now(),
  constraint issuers_pkey primary key (issuer),
  constraint issuers_subject_prefix_key unique (subject_prefix),
  constraint issuers_issuer_form check (issuer ~ '^https?://[!-~]{1,240}$' and issuer <> 'rowhouse'),
  constraint issuers_jwks_uri_form check (jwks_uri ~ '^https?://[!-~]{1,240}$'),
  -- One colon, at the end: no prefix begins another, so no two issuers' subjects can be the same text.
  constraint issuers_subject_prefix_form check (subject_prefix ~ '^[a-z0-9][a-z0-9-]{0,30}:$' and subject_prefix <> 'key:'),
  constraint issuers_audiences_present check (cardinality(audiences) between 1 and 20 and array_position(audiences, null) is null),
  constraint issuers_algorithms_asymmetric check (
    cardinality(algorithms) > 0 and algorithms <@ '{RS256,ES256,EdDSA}'::text[])
);
comment on table auth.issuers is 'Whose tokens the edge exchanges for one of ours. Kept by operators: an issuer here can say who anybody with its prefix is.';
comment on column auth.issuers.issuer is 'What `iss` has to be, to the letter.';
comment on column auth.issuers.subject_prefix is 'Put before `sub`: a member''s user_id is `<prefix><sub>`, such as `okta:00u1`.';
comment on column auth.issuers.audiences is 'One of them has to be in `aud`.';
comment on column auth.issuers.jwks_uri is 'Where its keys are; null: as its /.well-known/openid-configuration says.';
grant select on auth.issuers to rowhouse_edge, rowhouse_sealer;

--@ function auth.exchange_external(text,text,text,interval,interval)
set role rowhouse_sealer;
create function auth.exchange_external(
  trusted_issuer text, external_subject text, wanted_tenant text default null,
  ttl interval default '15 minutes', refresh_ttl interval default '30 days')
returns json
language plpgsql
volatile
security definer -- looks up memberships before any tenant context exists, and signs
set search_path = ''
parallel unsafe
as $$
declare
  subject text := (select subject_prefix from auth.issuers where issuer = trusted_issuer and enabled) || external_subject;
  tenants text[];
begin
  if subject is null then
    perform request.raise_error('token_invalid', 'its issuer is not trusted here');
  elsif wanted_tenant is not null then
    tenants := array[wanted_tenant];
  else
    -- An index-only scan of the whole primary key: 3 ms at 100,000 members. Who names the tenant is spared it.
    tenants := array(select tenant_id from tenancy.members where user_id = subject limit 2);
    if cardinality(tenants) > 1 then
      perform request.raise_error('tenant_required', 'the subject is a member of several tenants', 'name one with tenant_id');
    end if;
  end if;
  return auth.grant_session(tenants[1], subject, trusted_issuer, ttl, gen_random_uuid(), now() + least(refresh_ttl, '90 days'));
end
$$;
comment on function auth.exchange_external(text, text, text, interval, interval) is
  'A session of a member whom an issuer vouches for: what auth.grant_session() returns. That the issuer signed for external_subject is '
  'what the edge says: PostgreSQL verifies no RS256. It can say so of subjects with the prefix of an enabled issuer alone. '
  'Raises token_invalid, tenant_required, membership_required, tenant_suspended.';
grant execute on function auth.exchange_external(text, text, text, interval, interval) to rowhouse_edge;
set role rowhouse_owner;
