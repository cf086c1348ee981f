-- migrate:up
-- What goes down takes its columns along.
-- squawk-ignore-file ban-drop-column
set local lock_timeout = '3s';
set local search_path = '';

--@ drop view request.error_codes
drop view request.error_codes;

--@ view request.error_codes
create view request.error_codes (code, status, title) as values
  ('token_required',       401, 'A bearer token is required'),
  ('token_invalid',        401, 'The token is not valid'),
  ('token_expired',        401, 'The token has expired'),
  ('tenant_required',      400, 'This call needs a tenant'),
  ('tenant_unknown',       404, 'No such tenant'),
  ('tenant_mismatch',      403, 'The token belongs to another tenant'),
  ('tenant_suspended',     403, 'The tenant is suspended'),
  ('tenant_exists',        409, 'A tenant with this id or slug exists'),
  ('tenant_invalid',       422, 'The tenant is not valid'),
  ('context_sealed',       403, 'The transaction is sealed for another context'),
  ('membership_required',  403, 'The subject is not a member of the tenant'),
  ('role_insufficient',    403, 'The role does not allow this'),
  ('owner_required',       409, 'A tenant keeps at least one owner'),
  ('count_inexact',        400, 'Only exact counts are answered'),
  ('key_unknown',          404, 'No such signing key'),
  ('api_key_invalid',      401, 'The API key is not valid'),
  ('api_key_unknown',      404, 'No such API key'),
  ('api_key_malformed',    422, 'The API key cannot be made like this'),
  ('address_refused',      403, 'Not allowed from this address'),
  ('scope_insufficient',   403, 'The API key''s scopes do not allow this'),
  ('file_not_found',       404, 'No such file'),
  ('file_exists',          409, 'The file is already stored'),
  ('upload_checksum',      422, 'The body does not have the announced checksum'),
  ('job_not_found',        404, 'No such job'),
  ('job_type_unknown',     422, 'No such job type'),
  ('job_transition',       409, 'The job cannot change to this status'),
  ('request_invalid',      400, 'The request is not valid'),
  ('idempotency_conflict', 409, 'The idempotency key was used with another body'),
  ('idempotency_key_invalid', 400, 'The Idempotency-Key is not valid'),
  ('idempotency_in_flight', 409, 'A request with this Idempotency-Key is being carried out'),
  ('idempotency_mismatch', 422, 'The Idempotency-Key was used for another request'),
  ('idempotency_answer_lost', 409, 'The request was carried out before; its answer is not kept'),
  ('lease_lost',           409, 'Another attempt runs this job now');
comment on view request.error_codes is 'Every error code that SQL raises. docs/errors.md explains each; a test compares both ways.';

--@ table tenancy.tenants
alter table tenancy.tenants add column statement_timeout_ms integer not null default 10000;
comment on column tenancy.tenants.statement_timeout_ms is
  'As the tenant''s settings or else its plan say: kept here by triggers (tenancy/settings.sql), so that the gate finds it in the row that it reads anyway.';
update tenancy.tenants as tenant set statement_timeout_ms = right_one.ms
from (
  select t.id, (date_part('epoch', coalesce(own.statement_timeout, plan.statement_timeout)) * 1000)::integer as ms
  from tenancy.tenants as t
  join tenancy.plans as plan on plan.tier = t.tier
  left join tenancy.tenant_settings as own on own.tenant_id = t.id
) as right_one
where right_one.id = tenant.id and right_one.ms <> tenant.statement_timeout_ms;
-- Their bodies list the table's columns: as they are in the book, made anew.
create or replace view admin.tenants with (security_invoker = true) as
  select id, slug, name, tier, region, status, created_at, updated_at from tenancy.directory();
create or replace view v1.tenant with (security_invoker = true) as
  select id, slug, name, tier, region, status, created_at, updated_at from tenancy.own_tenant();
--= create table tenancy.tenants (
--=   id tenancy.tenant_id not null,
--=   slug text collate "C" not null,
--=   name text not null,
--=   tier text collate "C" not null default 'standard',
--=   region text collate "C" not null default 'default',
--=   status text collate "C" not null default 'active',
--=   created_at timestamptz not null default now(),
--=   updated_at timestamptz not null default now(),
--=   statement_timeout_ms integer not null default 10000,
--=   constraint tenants_pkey primary key (id),
--=   constraint tenants_slug_key unique (slug),
--=   constraint tenants_slug_form check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
--=   constraint tenants_name_length check (length(name) between 1 and 200),
--=   constraint tenants_region_form check (region ~ '^[a-z0-9-]{1,40}$'),
--=   constraint tenants_status_known check (status in ('active', 'suspended')),
--=   constraint tenants_tier_fkey foreign key (tier) references tenancy.plans (tier) on delete restrict
--= );
--= create index tenants_tier_idx on tenancy.tenants (tier);
--= create index tenants_created_at_idx on tenancy.tenants (created_at desc, id desc);
--= comment on table tenancy.tenants is 'The directory: one row for each tenant. Metadata, never what a tenant stores.';
--= comment on column tenancy.tenants.slug is 'The tenant''s name in addresses: a DNS label.';
--= comment on column tenancy.tenants.tier is 'The plan that the tenant is on.';
--= comment on column tenancy.tenants.statement_timeout_ms is
--=   'As the tenant''s settings or else its plan say: kept here by triggers (tenancy/settings.sql), so that the gate finds it in the row that it reads anyway.';
--= comment on column tenancy.tenants.status is 'A suspended tenant is refused at the gate, whatever its tokens say.';
--= alter table tenancy.tenants enable row level security;
--= alter table tenancy.tenants force row level security;
--= -- Its keys do not lead with a tenant, so conditions on them run before any policy and tell that a row exists. Clients and operators
--= -- reach it through functions that check first: v1.tenant, admin.tenants.
--= grant select on tenancy.tenants to rowhouse_sealer, rowhouse_dispatcher;

--@ table tenancy.plans
revoke select on tenancy.plans from rowhouse_sealer;
--= create table tenancy.plans (
--=   tier text collate "C" not null,
--=   job_concurrency integer not null,
--=   description text not null,
--=   read_rate integer not null,
--=   read_burst integer not null,
--=   write_rate integer not null,
--=   write_burst integer not null,
--=   expensive_rate integer not null,
--=   expensive_burst integer not null,
--=   request_concurrency integer not null,
--=   queue_length integer not null,
--=   queue_wait interval not null,
--=   statement_timeout interval not null,
--=   cache_bytes bigint not null,
--=   pool text collate "C",
--=   constraint plans_pkey primary key (tier),
--=   constraint plans_job_concurrency_positive check (job_concurrency > 0),
--=   constraint plans_rates_positive check (least(read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst) > 0),
--=   constraint plans_requests_positive check (request_concurrency > 0 and queue_length >= 0),
--=   constraint plans_queue_wait_range check (queue_wait between '0' and '1 minute'),
--=   constraint plans_statement_timeout_range check (statement_timeout between '10 ms' and '1 hour'),
--=   constraint plans_cache_bytes_not_negative check (cache_bytes >= 0)
--= );
--= comment on table tenancy.plans is 'What a tenant of each tier may use. tenancy.tenant_settings has the exceptions.';
--= comment on column tenancy.plans.job_concurrency is 'Jobs of one tenant that run at the same time.';
--= comment on column tenancy.plans.read_rate is 'Tokens that the tenant''s bucket gains each second: GET and HEAD.';
--= comment on column tenancy.plans.read_burst is 'Tokens that the bucket holds.';
--= comment on column tenancy.plans.write_rate is 'As read_rate, for requests that write.';
--= comment on column tenancy.plans.expensive_rate is 'As read_rate, for function calls and exact counts.';
--= comment on column tenancy.plans.request_concurrency is 'Requests of one tenant that one edge has in flight at the same time.';
--= comment on column tenancy.plans.queue_length is 'Requests that wait for one of those, for at most queue_wait.';
--= comment on column tenancy.plans.statement_timeout is 'How long one statement of a request may run.';
--= comment on column tenancy.plans.cache_bytes is 'What one edge keeps of the tenant''s answers.';
--= comment on column tenancy.plans.pool is 'The pool of tenancy.pools that the tier is served from; null for the shared ones.';
--= grant select on tenancy.plans to rowhouse_worker, operator;

--@ drop policy "The gate looks up any tenant's settings" on tenancy.tenant_settings
-- ACCESS EXCLUSIVE on tenancy.tenant_settings until commit.
drop policy "The gate looks up any tenant's settings" on tenancy.tenant_settings;

--@ table tenancy.tenant_settings
revoke select on tenancy.tenant_settings from rowhouse_sealer;
--= create table tenancy.tenant_settings (
--=   tenant_id tenancy.tenant_id not null,
--=   read_rate integer,
--=   read_burst integer,
--=   write_rate integer,
--=   write_burst integer,
--=   expensive_rate integer,
--=   expensive_burst integer,
--=   rate_shadow boolean not null default false,
--=   rate_weighted boolean not null default false,
--=   request_concurrency integer,
--=   queue_length integer,
--=   queue_wait interval,
--=   statement_timeout interval,
--=   cache_bytes bigint,
--=   cache_enabled boolean not null default true,
--=   uncached_relations text[] not null default '{}',
--=   cors_origins text[] not null default '{}',
--=   pool text collate "C",
--=   updated_at timestamptz not null default now(),
--=   constraint tenant_settings_pkey primary key (tenant_id),
--=   constraint tenant_settings_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
--=   constraint tenant_settings_rates_positive
--=     check (least(read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst) > 0),
--=   constraint tenant_settings_requests_positive check (request_concurrency > 0 and queue_length >= 0),
--=   constraint tenant_settings_queue_wait_range check (queue_wait between '0' and '1 minute'),
--=   constraint tenant_settings_statement_timeout_range check (statement_timeout between '10 ms' and '1 hour'),
--=   constraint tenant_settings_cache_bytes_not_negative check (cache_bytes >= 0),
--=   constraint tenant_settings_cors_origins_form check (
--=     array_to_string(cors_origins, ' ', '?') ~ '^(https?://[A-Za-z0-9.:-]+( https?://[A-Za-z0-9.:-]+)*)?$')
--= ) partition by hash (tenant_id);
--= comment on table tenancy.tenant_settings is 'Where one tenant differs from its plan. Null: as the plan says.';
--= comment on column tenancy.tenant_settings.rate_shadow is 'Limits are counted and logged, and let everything through.';
--= comment on column tenancy.tenant_settings.rate_weighted is 'A large answer costs more than one token.';
--= comment on column tenancy.tenant_settings.uncached_relations is 'Relations of v1 whose rows edges do not keep.';
--= comment on column tenancy.tenant_settings.cors_origins is 'Origins whose pages may call the API for this tenant.';
--= -- One partition: there is at most one row for each tenant, and whoever lists settings reads all.
--= select tenancy.protect('tenancy.tenant_settings', partitions => 1);

--@ function tenancy.role_rank(text)
create or replace function tenancy.role_rank(tenant_role text)
returns integer
language sql
immutable
security invoker
parallel safe
return array_position(array['viewer', 'member', 'admin', 'owner'], tenant_role);
comment on function tenancy.role_rank(text) is 'viewer 1, member 2, admin 3, owner 4; null for anything else.';
grant execute on function tenancy.role_rank(text) to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;

--@ function auth.decode_base64url(text)
create or replace function auth.decode_base64url(encoded text)
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
create or replace function auth.encode_base64url(raw bytea)
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
create or replace function auth.verify_token(token text)
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

--@ function auth.seal_for(text)
set role rowhouse_sealer;
create or replace function auth.seal_for(token text)
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
    select status, statement_timeout_ms into tenant_status, timeout_ms from tenancy.tenants where id = claimed_tenant;
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

--@ function auth.member_seal(text)
set role rowhouse_sealer;
create function auth.member_seal(token text)
returns table (seal text)
language sql
stable
security invoker
parallel safe
begin atomic
  select concat_ws(' ', tenant.id, least(tenancy.role_rank(member.role), tenancy.role_rank(claims ->> 'tenant_role')), 'tenant_user',
    encode(convert_to(member.user_id, 'UTF8'), 'hex'), encode(convert_to(claims ->> 'jti', 'UTF8'), 'hex'), tenant.statement_timeout_ms) as seal
  from auth.signed_claims(token)
  join tenancy.members as member on member.tenant_id = claims ->> 'tenant_id' and member.user_id = claims ->> 'sub'
  join tenancy.tenants as tenant on tenant.id = member.tenant_id and tenant.status = 'active'
  where claims @> '{"iss": "rowhouse", "aud": "rowhouse", "role": "tenant_user"}' and not claims ?| '{key_id,nbf}'
    and claims ->> 'jti' <> '' and tenancy.role_rank(claims ->> 'tenant_role') is not null -- least() passes over nulls
    and date_part('epoch', clock_timestamp())::bigint between (claims ->> 'iat')::bigint and (claims ->> 'exp')::bigint - 1;
end;
comment on function auth.member_seal(text) is
  'What auth.seal_for() says, for the token of a member who may come in, in one statement: PL/pgSQL prepares each expression anew in each '
  'transaction, and every request pays for it. No row for any other token, good or bad: ask auth.seal_for() then.';
set role rowhouse_owner;

--@ function auth.admit_request()
set role rowhouse_sealer;
create function auth.admit_request()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  sent text := current_setting('request.headers', true);
  headers json := nullif(sent, '')::json;
  token text;
  seal text;
  timeout text;
begin
  -- PostgreSQL has no text with a NUL in it: whoever read these headers later would fail. What a client wrote with a backslash has two here.
  if strpos(sent, '\u0000') > 0 and sent ~ '(^|[^\\])(\\\\)*\\u0000' then
    perform request.raise_error('request_invalid', 'a header has a NUL in it');
  end if;
  token := auth.current_token();
  if token is null then
    perform request.raise_error('token_required', null, 'send an Authorization header: Bearer <token>');
  end if;
  perform auth.enter(token);
  seal := request.seal();
  if split_part(seal, ' ', 3) is distinct from current_setting('role') then
    perform request.raise_error('token_invalid', 'the role of the request is not the role of the token');
  end if;
  if headers ->> 'x-tenant-id' <> split_part(seal, ' ', 1) then
    perform request.raise_error('tenant_mismatch', 'X-Tenant-Id names another tenant');
  end if;
  -- The transaction is read-only, which is the wall; this only says so in words. A function may be called: some only read.
  if current_setting('transaction_read_only') = 'on' and (current_setting('request.method', true) in ('PATCH', 'PUT', 'DELETE')
     or current_setting('request.method', true) = 'POST' and current_setting('request.path', true) not like '/rpc/%')
     and seal like '% r' then
    perform request.raise_error('scope_insufficient', 'the API key has no scope write', 'ask an admin of the tenant for a key that has it');
  end if;
  -- The planner's estimate is made from statistics over every tenant's rows: it would tell how common a value is next door.
  if headers ->> 'prefer' ~* 'count\s*=\s*(planned|estimated)' then
    perform request.raise_error('count_inexact', 'estimates are drawn from all tenants'' rows', 'use Prefer: count=exact');
  end if;
  -- The tenant's own. It holds from the next statement on: the one that the request makes.
  timeout := split_part(seal, ' ', 6);
  if timeout <> '' then
    perform set_config('statement_timeout', timeout, true);
  end if;
  -- A request that cannot write may be sent again as it is.
  if current_setting('transaction_read_only') = 'off' and headers ->> 'idempotency-key' is not null then
    perform auth.claim_key(headers ->> 'idempotency-key');
  end if;
end
$$;
comment on function auth.admit_request() is
  'Part of auth.pre_request(): everything that it may have to do, step by step, each refusal with its reason.';
set role rowhouse_owner;

--@ function auth.pre_request()
set role rowhouse_sealer;
create or replace function auth.pre_request()
returns void
language plpgsql
volatile
security definer -- the sealer alone may write the protected variable
set search_path = ''
parallel unsafe
as $$
declare
  sent text := current_setting('request.headers', true);
  -- A value of another header cannot hold this: JSON escapes its quotation marks.
  token text := split_part(split_part(sent, '"authorization":"Bearer ', 2), '"', 1);
  seal text;
  call_stack text;
begin
  -- PostgREST calls the gate by itself. Called from inside a function, it is an injection that emptied the seal (RESET ALL
  -- may) and would enter again with another token, to carry rows from one tenant to the other.
  get diagnostics call_stack = pg_context;
  if call_stack like E'%\n%' then
    perform request.raise_error('context_sealed', 'the gate is passed before a call, not from inside it');
  end if;
  -- Most requests are a member's and ask for nothing special: half the time of the way that is ready for everything. PL/pgSQL prepares
  -- each expression anew in each transaction, so there are few of them here.
  select admitted.seal into seal from auth.member_seal(token) as admitted;
  if seal is null or current_setting('role') <> 'tenant_user' or current_setting('transaction_isolation') <> 'read committed'
     or strpos(sent, '"x-tenant-id"') > 0 or strpos(sent, '"idempotency-key"') > 0 or strpos(sent, '\u0000') > 0
     or strpos(sent, '"prefer"') > 0 and sent ~* 'planned|estimated'
     or current_setting('backtrace_functions') not in ('', seal) or not auth.seal_is_protected() then
    perform auth.admit_request();
  else
    seal := set_config('backtrace_functions', seal, true) || set_config('statement_timeout', split_part(seal, ' ', 6), true);
  end if;
end
$$;
comment on function auth.pre_request() is
  'The gate before every call of PostgREST. Raises what auth.enter() and auth.claim_key() raise, token_required, tenant_mismatch, '
  'scope_insufficient, count_inexact, request_invalid.';
grant execute on function auth.pre_request() to anon, tenant_user, operator;
set role rowhouse_owner;

--@ function tenancy.suspend_tenant(text)
create or replace function tenancy.suspend_tenant(tenant_id text)
returns tenancy.tenants
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
return tenancy.set_tenant_status(tenant_id, 'suspended');
comment on function tenancy.suspend_tenant(text) is 'Refuses the tenant at the gate from the next request on, whatever its tokens say. Raises tenant_unknown.';

--@ function tenancy.resume_tenant(text)
create or replace function tenancy.resume_tenant(tenant_id text)
returns tenancy.tenants
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
return tenancy.set_tenant_status(tenant_id, 'active');
comment on function tenancy.resume_tenant(text) is 'Lets a suspended tenant in again: its tokens work as before. Raises tenant_unknown.';

--@ function tenancy.statement_timeout_ms(text, text)
create function tenancy.statement_timeout_ms(tenant_id text, tier text)
returns integer
language sql
volatile -- a snapshot of its own: whoever waited for the tenant's row sees what was changed meanwhile
security invoker
parallel unsafe
begin atomic
  select (date_part('epoch', coalesce(own.statement_timeout, plan.statement_timeout)) * 1000)::integer
  from tenancy.plans as plan
  left join tenancy.tenant_settings as own on own.tenant_id = statement_timeout_ms.tenant_id
  where plan.tier = statement_timeout_ms.tier;
end;
comment on function tenancy.statement_timeout_ms(text, text) is 'How long a statement of a tenant may run: its own setting, or its plan''s.';

--@ function tenancy.take_statement_timeout()
create function tenancy.take_statement_timeout()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  -- Who changes the plan meanwhile would not see this tenant: either waits for the other here.
  perform from tenancy.plans where tier = new.tier for share;
  -- An unknown tier is the foreign key's to refuse.
  new.statement_timeout_ms := coalesce(tenancy.statement_timeout_ms(new.id, new.tier), new.statement_timeout_ms);
  return new;
end
$$;
comment on function tenancy.take_statement_timeout() is 'Keeps tenants.statement_timeout_ms true when a tenant is made or changes its tier.';

--@ trigger take_statement_timeout on tenancy.tenants
create trigger take_statement_timeout before insert or update of tier, statement_timeout_ms on tenancy.tenants
  for each row execute function tenancy.take_statement_timeout();

--@ function tenancy.give_plans_timeout()
create function tenancy.give_plans_timeout()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  -- One statement, for the tenants whose value changes. For 10,000 of them 0.7 s of CPU and 10,000 entries in the ledger; to ask, 0.05 s.
  update tenancy.tenants set statement_timeout_ms = tenancy.statement_timeout_ms(id, tier)
  where tier = new.tier and statement_timeout_ms <> tenancy.statement_timeout_ms(id, tier);
  return null;
end
$$;
comment on function tenancy.give_plans_timeout() is 'Keeps tenants.statement_timeout_ms true when a plan changes.';

--@ trigger give_plans_timeout on tenancy.plans
create trigger give_plans_timeout after update of statement_timeout on tenancy.plans
  for each row execute function tenancy.give_plans_timeout();

--@ function tenancy.give_own_timeout()
create function tenancy.give_own_timeout()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  if old.statement_timeout is not distinct from new.statement_timeout and (tg_op <> 'UPDATE' or old.tenant_id = new.tenant_id) then
    return null;
  end if;
  -- The plan before the tenant, as who changes the plan locks them. And written even where the value stays: who moves the tenant to another
  -- plan at the same time has not seen this setting yet, and waits here, or is waited for.
  perform from tenancy.plans where tier in (select tier from tenancy.tenants where id in (old.tenant_id, new.tenant_id)) for share;
  update tenancy.tenants set statement_timeout_ms = tenancy.statement_timeout_ms(id, tier) where id in (old.tenant_id, new.tenant_id);
  return null;
end
$$;
comment on function tenancy.give_own_timeout() is 'Keeps tenants.statement_timeout_ms true when a tenant''s own setting changes.';

--@ trigger give_own_timeout on tenancy.tenant_settings
create trigger give_own_timeout after insert or update or delete on tenancy.tenant_settings
  for each row execute function tenancy.give_own_timeout();

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ drop trigger give_own_timeout on tenancy.tenant_settings
drop trigger give_own_timeout on tenancy.tenant_settings;

--@ drop function tenancy.give_own_timeout()
drop function tenancy.give_own_timeout();

--@ drop trigger give_plans_timeout on tenancy.plans
drop trigger give_plans_timeout on tenancy.plans;

--@ drop function tenancy.give_plans_timeout()
drop function tenancy.give_plans_timeout();

--@ drop trigger take_statement_timeout on tenancy.tenants
drop trigger take_statement_timeout on tenancy.tenants;

--@ drop function tenancy.take_statement_timeout()
drop function tenancy.take_statement_timeout();

--@ drop function tenancy.statement_timeout_ms(text, text)
drop function tenancy.statement_timeout_ms(text, text);

--@ drop function auth.admit_request()
drop function auth.admit_request();

--@ drop function auth.member_seal(text)
drop function auth.member_seal(text);

--@ drop function auth.refuse_token(text)
drop function auth.refuse_token(text);

--@ drop function auth.signed_claims(text)
drop function auth.signed_claims(text);

--@ table tenancy.tenant_settings
grant select on tenancy.tenant_settings to rowhouse_sealer;
--= create table tenancy.tenant_settings (
--=   tenant_id tenancy.tenant_id not null,
--=   read_rate integer,
--=   read_burst integer,
--=   write_rate integer,
--=   write_burst integer,
--=   expensive_rate integer,
--=   expensive_burst integer,
--=   rate_shadow boolean not null default false,
--=   rate_weighted boolean not null default false,
--=   request_concurrency integer,
--=   queue_length integer,
--=   queue_wait interval,
--=   statement_timeout interval,
--=   cache_bytes bigint,
--=   cache_enabled boolean not null default true,
--=   uncached_relations text[] not null default '{}',
--=   cors_origins text[] not null default '{}',
--=   pool text collate "C",
--=   updated_at timestamptz not null default now(),
--=   constraint tenant_settings_pkey primary key (tenant_id),
--=   constraint tenant_settings_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
--=   constraint tenant_settings_rates_positive
--=     check (least(read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst) > 0),
--=   constraint tenant_settings_requests_positive check (request_concurrency > 0 and queue_length >= 0),
--=   constraint tenant_settings_queue_wait_range check (queue_wait between '0' and '1 minute'),
--=   constraint tenant_settings_statement_timeout_range check (statement_timeout between '10 ms' and '1 hour'),
--=   constraint tenant_settings_cache_bytes_not_negative check (cache_bytes >= 0),
--=   constraint tenant_settings_cors_origins_form check (
--=     array_to_string(cors_origins, ' ', '?') ~ '^(https?://[A-Za-z0-9.:-]+( https?://[A-Za-z0-9.:-]+)*)?$')
--= ) partition by hash (tenant_id);
--= comment on table tenancy.tenant_settings is 'Where one tenant differs from its plan. Null: as the plan says.';
--= comment on column tenancy.tenant_settings.rate_shadow is 'Limits are counted and logged, and let everything through.';
--= comment on column tenancy.tenant_settings.rate_weighted is 'A large answer costs more than one token.';
--= comment on column tenancy.tenant_settings.uncached_relations is 'Relations of v1 whose rows edges do not keep.';
--= comment on column tenancy.tenant_settings.cors_origins is 'Origins whose pages may call the API for this tenant.';
--= -- One partition, as tenancy.members: the gate looks here on every request.
--= select tenancy.protect('tenancy.tenant_settings', partitions => 1);
--= grant select on tenancy.tenant_settings to rowhouse_sealer;

--@ policy "The gate looks up any tenant's settings" on tenancy.tenant_settings
create policy "The gate looks up any tenant's settings" on tenancy.tenant_settings
  for select to rowhouse_sealer using (true);

--@ table tenancy.plans
grant select on tenancy.plans to rowhouse_sealer;
--= create table tenancy.plans (
--=   tier text collate "C" not null,
--=   job_concurrency integer not null,
--=   description text not null,
--=   read_rate integer not null,
--=   read_burst integer not null,
--=   write_rate integer not null,
--=   write_burst integer not null,
--=   expensive_rate integer not null,
--=   expensive_burst integer not null,
--=   request_concurrency integer not null,
--=   queue_length integer not null,
--=   queue_wait interval not null,
--=   statement_timeout interval not null,
--=   cache_bytes bigint not null,
--=   pool text collate "C",
--=   constraint plans_pkey primary key (tier),
--=   constraint plans_job_concurrency_positive check (job_concurrency > 0),
--=   constraint plans_rates_positive check (least(read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst) > 0),
--=   constraint plans_requests_positive check (request_concurrency > 0 and queue_length >= 0),
--=   constraint plans_queue_wait_range check (queue_wait between '0' and '1 minute'),
--=   constraint plans_statement_timeout_range check (statement_timeout between '10 ms' and '1 hour'),
--=   constraint plans_cache_bytes_not_negative check (cache_bytes >= 0)
--= );
--= comment on table tenancy.plans is 'What a tenant of each tier may use. tenancy.tenant_settings has the exceptions.';
--= comment on column tenancy.plans.job_concurrency is 'Jobs of one tenant that run at the same time.';
--= comment on column tenancy.plans.read_rate is 'Tokens that the tenant''s bucket gains each second: GET and HEAD.';
--= comment on column tenancy.plans.read_burst is 'Tokens that the bucket holds.';
--= comment on column tenancy.plans.write_rate is 'As read_rate, for requests that write.';
--= comment on column tenancy.plans.expensive_rate is 'As read_rate, for function calls and exact counts.';
--= comment on column tenancy.plans.request_concurrency is 'Requests of one tenant that one edge has in flight at the same time.';
--= comment on column tenancy.plans.queue_length is 'Requests that wait for one of those, for at most queue_wait.';
--= comment on column tenancy.plans.statement_timeout is 'How long one statement of a request may run.';
--= comment on column tenancy.plans.cache_bytes is 'What one edge keeps of the tenant''s answers.';
--= comment on column tenancy.plans.pool is 'The pool of tenancy.pools that the tier is served from; null for the shared ones.';
--= grant select on tenancy.plans to rowhouse_worker, operator, rowhouse_sealer;

--@ table tenancy.tenants
alter table tenancy.tenants drop column statement_timeout_ms;
--= create table tenancy.tenants (
--=   id tenancy.tenant_id not null,
--=   slug text collate "C" not null,
--=   name text not null,
--=   tier text collate "C" not null default 'standard',
--=   region text collate "C" not null default 'default',
--=   status text collate "C" not null default 'active',
--=   created_at timestamptz not null default now(),
--=   updated_at timestamptz not null default now(),
--=   constraint tenants_pkey primary key (id),
--=   constraint tenants_slug_key unique (slug),
--=   constraint tenants_slug_form check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
--=   constraint tenants_name_length check (length(name) between 1 and 200),
--=   constraint tenants_region_form check (region ~ '^[a-z0-9-]{1,40}$'),
--=   constraint tenants_status_known check (status in ('active', 'suspended')),
--=   constraint tenants_tier_fkey foreign key (tier) references tenancy.plans (tier) on delete restrict
--= );
--= create index tenants_tier_idx on tenancy.tenants (tier);
--= create index tenants_created_at_idx on tenancy.tenants (created_at desc, id desc);
--= comment on table tenancy.tenants is 'The directory: one row for each tenant. Metadata, never what a tenant stores.';
--= comment on column tenancy.tenants.slug is 'The tenant''s name in addresses: a DNS label.';
--= comment on column tenancy.tenants.tier is 'The plan that the tenant is on.';
--= comment on column tenancy.tenants.status is 'A suspended tenant is refused at the gate, whatever its tokens say.';
--= alter table tenancy.tenants enable row level security;
--= alter table tenancy.tenants force row level security;
--= -- Its keys do not lead with a tenant, so conditions on them run before any policy and tell that a row exists. Clients and operators
--= -- reach it through functions that check first: v1.tenant, admin.tenants.
--= grant select on tenancy.tenants to rowhouse_sealer, rowhouse_dispatcher;

--@ function tenancy.role_rank(text)
create or replace function tenancy.role_rank(tenant_role text)
returns integer
language sql
immutable
security invoker
parallel safe
return case tenant_role when 'viewer' then 1 when 'member' then 2 when 'admin' then 3 when 'owner' then 4 end;
comment on function tenancy.role_rank(text) is 'viewer 1, member 2, admin 3, owner 4; null for anything else.';
grant execute on function tenancy.role_rank(text) to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;

--@ function auth.decode_base64url(text)
create or replace function auth.decode_base64url(encoded text)
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
create or replace function auth.encode_base64url(raw bytea)
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
create or replace function auth.verify_token(token text)
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
create or replace function auth.seal_for(token text)
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

--@ function auth.pre_request()
set role rowhouse_sealer;
create or replace function auth.pre_request()
returns void
language plpgsql
volatile
security definer -- the sealer alone may write the protected variable
set search_path = ''
parallel unsafe
as $$
declare
  sent text := current_setting('request.headers', true);
  headers json := nullif(sent, '')::json;
  token text := auth.current_token();
  call_stack text;
  timeout text;
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
  -- Each look into the headers reads them all again, 1 to 2 µs: only for what is there.
  if strpos(sent, '"x-tenant-id"') > 0
     and headers ->> 'x-tenant-id' is distinct from split_part(request.seal(), ' ', 1) then
    perform request.raise_error('tenant_mismatch', 'X-Tenant-Id names another tenant');
  end if;
  -- The transaction is read-only, which is the wall; this only says so in words. A function may be called: some only read.
  if current_setting('transaction_read_only') = 'on' and (current_setting('request.method', true) in ('PATCH', 'PUT', 'DELETE')
     or current_setting('request.method', true) = 'POST' and current_setting('request.path', true) not like '/rpc/%')
     and request.seal() like '% r' then
    perform request.raise_error('scope_insufficient', 'the API key has no scope write', 'ask an admin of the tenant for a key that has it');
  end if;
  -- The planner's estimate is made from statistics over every tenant's rows: it would tell how common a value is next door.
  if strpos(sent, '"prefer"') > 0 and headers ->> 'prefer' ~* 'count\s*=\s*(planned|estimated)' then
    perform request.raise_error('count_inexact', 'estimates are drawn from all tenants'' rows', 'use Prefer: count=exact');
  end if;
  -- The tenant's own. It holds from the next statement on: the one that the request makes.
  timeout := split_part(request.seal(), ' ', 6);
  if timeout <> '' then
    perform set_config('statement_timeout', timeout, true);
  end if;
  -- A request that cannot write may be sent again as it is.
  if strpos(sent, '"idempotency-key"') > 0 and current_setting('transaction_read_only') = 'off' then
    perform auth.claim_key(headers ->> 'idempotency-key');
  end if;
end
$$;
comment on function auth.pre_request() is
  'The gate before every call of PostgREST. Raises what auth.enter() and auth.claim_key() raise, token_required, tenant_mismatch, '
  'scope_insufficient, count_inexact.';
grant execute on function auth.pre_request() to anon, tenant_user, operator;
set role rowhouse_owner;

--@ function tenancy.suspend_tenant(text)
create or replace function tenancy.suspend_tenant(tenant_id text)
returns tenancy.tenants
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select * from tenancy.set_tenant_status(tenant_id, 'suspended');
end;
comment on function tenancy.suspend_tenant(text) is 'Refuses the tenant at the gate from the next request on, whatever its tokens say. Raises tenant_unknown.';

--@ function tenancy.resume_tenant(text)
create or replace function tenancy.resume_tenant(tenant_id text)
returns tenancy.tenants
language sql
volatile
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select * from tenancy.set_tenant_status(tenant_id, 'active');
end;
comment on function tenancy.resume_tenant(text) is 'Lets a suspended tenant in again: its tokens work as before. Raises tenant_unknown.';

--@ drop view request.error_codes
drop view request.error_codes;

--@ view request.error_codes
create view request.error_codes (code, status, title) as values
  ('token_required',       401, 'A bearer token is required'),
  ('token_invalid',        401, 'The token is not valid'),
  ('token_expired',        401, 'The token has expired'),
  ('tenant_required',      400, 'This call needs a tenant'),
  ('tenant_unknown',       404, 'No such tenant'),
  ('tenant_mismatch',      403, 'The token belongs to another tenant'),
  ('tenant_suspended',     403, 'The tenant is suspended'),
  ('tenant_exists',        409, 'A tenant with this id or slug exists'),
  ('tenant_invalid',       422, 'The tenant is not valid'),
  ('context_sealed',       403, 'The transaction is sealed for another context'),
  ('membership_required',  403, 'The subject is not a member of the tenant'),
  ('role_insufficient',    403, 'The role does not allow this'),
  ('owner_required',       409, 'A tenant keeps at least one owner'),
  ('count_inexact',        400, 'Only exact counts are answered'),
  ('key_unknown',          404, 'No such signing key'),
  ('api_key_invalid',      401, 'The API key is not valid'),
  ('api_key_unknown',      404, 'No such API key'),
  ('api_key_malformed',    422, 'The API key cannot be made like this'),
  ('address_refused',      403, 'Not allowed from this address'),
  ('scope_insufficient',   403, 'The API key''s scopes do not allow this'),
  ('file_not_found',       404, 'No such file'),
  ('file_exists',          409, 'The file is already stored'),
  ('upload_checksum',      422, 'The body does not have the announced checksum'),
  ('job_not_found',        404, 'No such job'),
  ('job_type_unknown',     422, 'No such job type'),
  ('job_transition',       409, 'The job cannot change to this status'),
  ('idempotency_conflict', 409, 'The idempotency key was used with another body'),
  ('idempotency_key_invalid', 400, 'The Idempotency-Key is not valid'),
  ('idempotency_in_flight', 409, 'A request with this Idempotency-Key is being carried out'),
  ('idempotency_mismatch', 422, 'The Idempotency-Key was used for another request'),
  ('idempotency_answer_lost', 409, 'The request was carried out before; its answer is not kept'),
  ('lease_lost',           409, 'Another attempt runs this job now');
comment on view request.error_codes is 'Every error code that SQL raises. docs/errors.md explains each; a test compares both ways.';
