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
  if seal like '% r' then
    -- Cannot be taken back within the transaction, and holds for definer functions, too.
    perform set_config('transaction_read_only', 'on', true);
  end if;
end
$$;
comment on function auth.enter(text) is
  'Seals this transaction for the token''s tenant; then take the token''s role with `set local role`. Pass the token as a bind '
  'parameter. Raises token_invalid, token_expired, tenant_unknown, tenant_suspended, membership_required, api_key_invalid, context_sealed.';
grant execute on function auth.enter(text) to
  authenticator, rowhouse_worker, rowhouse_edge, rowhouse_migrator, rowhouse_owner;
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
create function auth.pre_request()
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
  perform set_config('pgrst.jwt_secret', auth.api_keyset()::text, true);
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
