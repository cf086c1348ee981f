-- migrate:up
-- The plans are one row for each tier, the other tables are new; an index of a partitioned table cannot be built concurrently.
-- squawk-ignore-file adding-not-nullable-field, constraint-missing-not-valid, require-concurrent-index-creation
-- What goes down takes its columns along.
-- squawk-ignore-file ban-drop-column, require-concurrent-index-deletion
set local lock_timeout = '3s';
set local search_path = '';

--@ drop view request.error_codes
drop view request.error_codes;

--@ run undo schema ledger
-- Privileges: check by hand that no other object of the book grants the same.
revoke usage on schema ledger from rowhouse_worker;

--@ schema ledger
grant usage on schema ledger to rowhouse_worker, rowhouse_edge;
--= create schema ledger;
--= comment on schema ledger is 'One append-only row for every change of tenant data, and the cursors of those who follow it.';
--= grant usage on schema ledger to rowhouse_worker, rowhouse_edge;
--= grant usage, create on schema ledger to rowhouse_dispatcher;

--@ schema metering
create schema metering;
comment on schema metering is 'What tenants use: the token buckets that their rate limits are leased from.';
grant usage on schema metering to rowhouse_edge, tenant_user;

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

--@ table tenancy.plans
alter table tenancy.plans
  add column read_rate integer,
  add column read_burst integer,
  add column write_rate integer,
  add column write_burst integer,
  add column expensive_rate integer,
  add column expensive_burst integer,
  add column request_concurrency integer,
  add column queue_length integer,
  add column queue_wait interval,
  add column statement_timeout interval,
  add column cache_bytes bigint,
  add column pool text collate "C";
comment on table tenancy.plans is 'What a tenant of each tier may use. tenancy.tenant_settings has the exceptions.';
comment on column tenancy.plans.read_rate is 'Tokens that the tenant''s bucket gains each second: GET and HEAD.';
comment on column tenancy.plans.read_burst is 'Tokens that the bucket holds.';
comment on column tenancy.plans.write_rate is 'As read_rate, for requests that write.';
comment on column tenancy.plans.expensive_rate is 'As read_rate, for function calls and exact counts.';
comment on column tenancy.plans.request_concurrency is 'Requests of one tenant that one edge has in flight at the same time.';
comment on column tenancy.plans.queue_length is 'Requests that wait for one of those, for at most queue_wait.';
comment on column tenancy.plans.statement_timeout is 'How long one statement of a request may run.';
comment on column tenancy.plans.cache_bytes is 'What one edge keeps of the tenant''s answers.';
comment on column tenancy.plans.pool is 'The pool of tenancy.pools that the tier is served from; null for the shared ones.';
grant select on tenancy.plans to rowhouse_sealer;
-- Keep what starts with --= as it is: the record of the new text.
--- create table tenancy.plans (
---   tier text collate "C" not null,
---   job_concurrency integer not null,
---   description text not null,
---   constraint plans_pkey primary key (tier),
---   constraint plans_job_concurrency_positive check (job_concurrency > 0)
--- );
--- comment on table tenancy.plans is 'What a tenant of each tier may use at once.';
--- comment on column tenancy.plans.job_concurrency is 'Jobs of one tenant that run at the same time.';
--- grant select on tenancy.plans to rowhouse_worker, operator;
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

--@ data tenancy.plans
-- A tier that is not ours starts as standard.
update tenancy.plans as p set (read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst, request_concurrency, queue_length, queue_wait, statement_timeout, cache_bytes) =
  (new.read_rate, new.read_burst, new.write_rate, new.write_burst, new.expensive_rate, new.expensive_burst, new.request_concurrency, new.queue_length, new.queue_wait, new.statement_timeout, new.cache_bytes)
from (values
  ('free', 50, 100, 10, 20, 5, 10, 2, 16, interval '2 s', interval '5 s', 1048576),
  ('standard', 500, 1000, 100, 200, 50, 100, 4, 64, interval '2 s', interval '10 s', 8388608),
  ('enterprise', 5000, 10000, 1000, 2000, 500, 1000, 8, 256, interval '2 s', interval '15 s', 67108864)
) as new (tier, read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst, request_concurrency, queue_length, queue_wait, statement_timeout, cache_bytes)
where new.tier = case when p.tier in ('free', 'enterprise') then p.tier else 'standard' end;
update tenancy.plans as p set description = new.description
from (values
  ('free', 'One job at a time', 'One job at a time, 50 reads a second'),
  ('standard', 'Two jobs at a time', 'Two jobs at a time, 500 reads a second'),
  ('enterprise', 'Eight jobs at a time', 'Eight jobs at a time, 5,000 reads a second')
) as new (tier, was, description)
where p.tier = new.tier and p.description = new.was;
alter table tenancy.plans
  alter column read_rate set not null,
  alter column read_burst set not null,
  alter column write_rate set not null,
  alter column write_burst set not null,
  alter column expensive_rate set not null,
  alter column expensive_burst set not null,
  alter column request_concurrency set not null,
  alter column queue_length set not null,
  alter column queue_wait set not null,
  alter column statement_timeout set not null,
  alter column cache_bytes set not null,
  add constraint plans_rates_positive check (least(read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst) > 0),
  add constraint plans_requests_positive check (request_concurrency > 0 and queue_length >= 0),
  add constraint plans_queue_wait_range check (queue_wait between '0' and '1 minute'),
  add constraint plans_statement_timeout_range check (statement_timeout between '10 ms' and '1 hour'),
  add constraint plans_cache_bytes_not_negative check (cache_bytes >= 0);
-- Keep what starts with --= as it is: the record of the new text.
--- insert into tenancy.plans (tier, job_concurrency, description) values
---   ('free', 1, 'One job at a time'),
---   ('standard', 2, 'Two jobs at a time'),
---   ('enterprise', 8, 'Eight jobs at a time');
--= insert into tenancy.plans (tier, job_concurrency, description, read_rate, read_burst, write_rate, write_burst,
--=   expensive_rate, expensive_burst, request_concurrency, queue_length, queue_wait, statement_timeout, cache_bytes)
--= values
--=   ('free', 1, 'One job at a time, 50 reads a second', 50, 100, 10, 20, 5, 10, 2, 16, '2 s', '5 s', 1048576),
--=   ('standard', 2, 'Two jobs at a time, 500 reads a second', 500, 1000, 100, 200, 50, 100, 4, 64, '2 s', '10 s', 8388608),
--=   ('enterprise', 8, 'Eight jobs at a time, 5,000 reads a second', 5000, 10000, 1000, 2000, 500, 1000, 8, 256, '2 s', '15 s', 67108864);

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

--@ table ledger.entries
create index entries_follow_idx on ledger.entries (transaction_id);
-- Keep what starts with --= as it is: the record of the new text.
--- -- One sequence for all tenants of this server: a tenant's order is its own positions, and a tenant that moves to another
--- -- server takes its positions along.
--- create sequence ledger.positions as bigint cache 1;
---
--- create function ledger.slot(tenant_id text)
--- returns smallint
--- language sql
--- immutable
--- security invoker
--- parallel safe
--- return (pg_catalog.hashtextextended(tenant_id, 0) & 15)::smallint;
--- comment on function ledger.slot(text) is 'Which of the 16 dispatch slots a tenant''s entries go through.';
---
--- create table ledger.entries (
---   tenant_id tenancy.tenant_id not null,
---   position bigint not null default nextval('ledger.positions'),
---   slot smallint not null generated always as (ledger.slot(tenant_id)) stored,
---   transaction_id xid8 not null default pg_current_xact_id(),
---   occurred_at timestamptz not null default clock_timestamp(),
---   table_name text collate "C" not null,
---   operation text collate "C" not null,
---   row_id text not null,
---   changed text[],
---   old jsonb,
---   new jsonb,
---   subject text,
---   role text collate "C",
---   token_id text collate "C",
---   address inet,
---   user_agent text,
---   request_id text,
---   trace_id text collate "C",
---   constraint entries_pkey primary key (tenant_id, position),
---   constraint entries_operation_known check (operation in ('insert', 'update', 'delete'))
--- ) partition by hash (tenant_id);
--- create index entries_row_idx on ledger.entries (tenant_id, table_name, row_id, position);
--- comment on table ledger.entries is 'Every change of tenant data: who, what, when, where, before and after. Append-only for everyone.';
--- comment on column ledger.entries.position is 'Order within the tenant: drawn while the changed rows were locked.';
--- comment on column ledger.entries.row_id is 'The primary key without the tenant; a JSON array where it has several columns.';
--- comment on column ledger.entries.address is 'From X-Forwarded-For: what the edge saw, or what a client that went past it claims.';
--- select tenancy.protect('ledger.entries', partitions => 16, ledger => false);
---
--- -- The one index that does not lead with the tenant: the dispatcher reads a slot's tenants together, in order.
--- create index entries_dispatch_idx on ledger.entries (slot, position);
--= -- One sequence for all tenants of this server: a tenant's order is its own positions, and a tenant that moves to another
--= -- server takes its positions along.
--= create sequence ledger.positions as bigint cache 1;
--=
--= create function ledger.slot(tenant_id text)
--= returns smallint
--= language sql
--= immutable
--= security invoker
--= parallel safe
--= return (pg_catalog.hashtextextended(tenant_id, 0) & 15)::smallint;
--= comment on function ledger.slot(text) is 'Which of the 16 dispatch slots a tenant''s entries go through.';
--=
--= create table ledger.entries (
--=   tenant_id tenancy.tenant_id not null,
--=   position bigint not null default nextval('ledger.positions'),
--=   slot smallint not null generated always as (ledger.slot(tenant_id)) stored,
--=   transaction_id xid8 not null default pg_current_xact_id(),
--=   occurred_at timestamptz not null default clock_timestamp(),
--=   table_name text collate "C" not null,
--=   operation text collate "C" not null,
--=   row_id text not null,
--=   changed text[],
--=   old jsonb,
--=   new jsonb,
--=   subject text,
--=   role text collate "C",
--=   token_id text collate "C",
--=   address inet,
--=   user_agent text,
--=   request_id text,
--=   trace_id text collate "C",
--=   constraint entries_pkey primary key (tenant_id, position),
--=   constraint entries_operation_known check (operation in ('insert', 'update', 'delete'))
--= ) partition by hash (tenant_id);
--= create index entries_row_idx on ledger.entries (tenant_id, table_name, row_id, position);
--= comment on table ledger.entries is 'Every change of tenant data: who, what, when, where, before and after. Append-only for everyone.';
--= comment on column ledger.entries.position is 'Order within the tenant: drawn while the changed rows were locked.';
--= comment on column ledger.entries.row_id is 'The primary key without the tenant; a JSON array where it has several columns.';
--= comment on column ledger.entries.address is 'From X-Forwarded-For: what the edge saw, or what a client that went past it claims.';
--= select tenancy.protect('ledger.entries', partitions => 16, ledger => false);
--=
--= -- This index does not lead with the tenant: the dispatcher reads a slot's tenants together, in order.
--= create index entries_dispatch_idx on ledger.entries (slot, position);
--=
--= -- Nor does this one: what transactions have committed since a snapshot, of whichever tenant (ledger.changes_after).
--= create index entries_follow_idx on ledger.entries (transaction_id);

--@ function auth.enter(text)
set role rowhouse_sealer;
create or replace function auth.enter(token text)
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

--@ function auth.pre_config()
set role rowhouse_sealer;
create or replace function auth.pre_config()
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

--@ table auth.idempotency_keys
create table auth.idempotency_keys (
  tenant_id tenancy.tenant_id not null,
  subject text not null,
  key text collate "C" not null,
  request_hash text collate "C" not null,
  rank integer not null,
  claimed_at timestamptz not null default now(),
  answer_status integer,
  answer_headers jsonb,
  answer_body bytea,
  constraint idempotency_keys_pkey primary key (tenant_id, subject, key),
  constraint idempotency_keys_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
  constraint idempotency_keys_key_form check (key ~ '^[\x20-\x7e]{1,255}$'),
  constraint idempotency_keys_answer_success check (answer_status between 200 and 299),
  constraint idempotency_keys_answer_size check (length(answer_body) <= 262144),
  constraint idempotency_keys_answer_whole check (
    (answer_status is null) = (answer_headers is null) and (answer_status is not null or answer_body is null))
) partition by hash (tenant_id);
create index idempotency_keys_claimed_at_idx on auth.idempotency_keys (tenant_id, claimed_at);
comment on table auth.idempotency_keys is
  'Requests that were carried out under an Idempotency-Key, by subject: written in the transaction of the request itself, so that a '
  'key is taken if and only if its request was committed. Kept for 24 hours.';
comment on column auth.idempotency_keys.request_hash is 'Of method, target, headers and body, as the edge saw them.';
comment on column auth.idempotency_keys.rank is 'What the gate left of the token''s role. With another, the request is another one.';
comment on column auth.idempotency_keys.answer_status is 'Null until the edge has stored the answer.';
comment on column auth.idempotency_keys.answer_body is 'Null where it is not kept: too large, or no-store.';
select tenancy.protect('auth.idempotency_keys', partitions => 16, ledger => false);
grant select, insert, update on auth.idempotency_keys to rowhouse_sealer;

--@ policy "The gate claims keys of the sealed tenant" on auth.idempotency_keys
create policy "The gate claims keys of the sealed tenant" on auth.idempotency_keys
  for all to rowhouse_sealer
  using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id())
  with check ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id());

--@ policy "The purge sees what has expired" on auth.idempotency_keys
create policy "The purge sees what has expired" on auth.idempotency_keys
  for all to rowhouse_owner using (claimed_at < now() - '24 hours'::interval) with check (false);

--@ function auth.plain_key(text)
create function auth.plain_key(field text)
returns text
language sql
immutable
security invoker
parallel safe
return regexp_replace(field, '^"(.*)"$', '\1');
comment on function auth.plain_key(text) is
  'An Idempotency-Key without the quotes of a structured field (RFC 9651, 3.3.3): clients send it with and without.';
grant execute on function auth.plain_key(text) to rowhouse_sealer;

--@ function auth.hold_key(text, text, text)
create function auth.hold_key(tenant text, subject_id text, wanted text)
returns boolean
language plpgsql
volatile
security definer -- nobody else may take advisory locks
set search_path = ''
parallel unsafe
as $$
declare
  -- Cryptographic, so that nobody can choose a key which collides with another tenant's.
  hash text := encode(sha256(convert_to(
    concat_ws(' ', tenant, encode(convert_to(subject_id, 'UTF8'), 'hex'), wanted), 'UTF8')), 'hex');
begin
  -- Below zero, where the ledger's locks never are.
  return pg_try_advisory_xact_lock(('x' || left(hash, 16))::bit(64)::bigint | (1::bigint << 63));
end
$$;
comment on function auth.hold_key(text, text, text) is
  'Part of the gate: holds an Idempotency-Key until this transaction ends; false where another one holds it.';
grant execute on function auth.hold_key(text, text, text) to rowhouse_sealer;

--@ function auth.claim_key(text)
create function auth.claim_key(field text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  tenant text := request.tenant_id();
  subject_id text := request.subject();
  sealed_rank integer := split_part(request.seal(), ' ', 2)::integer;
  wanted text := auth.plain_key(field);
  -- Only the edge sees the body. At PostgREST's own door the method and the path have to be the same.
  hash text := coalesce(
    substring(request.header('x-rowhouse-request-hash') from '^[A-Za-z0-9_-]{43}$'),
    'door ' || encode(sha256(convert_to(
      concat_ws(' ', current_setting('request.method', true), current_setting('request.path', true)), 'UTF8')), 'base64'));
  claimed auth.idempotency_keys;
begin
  if field is null then
    return;
  elsif wanted !~ '^[\x20-\x7e]{1,255}$' then
    perform request.raise_error('idempotency_key_invalid', '1 to 255 printable ASCII characters', 'use a new random UUID for each request');
  end if;
  if not auth.hold_key(tenant, subject_id, wanted) then
    perform request.raise_error('idempotency_in_flight', 'a request with this key is being carried out', 'send it again in a moment');
  end if;
  select * into claimed from auth.idempotency_keys as k
  where k.tenant_id = tenant and k.subject = subject_id and k.key = wanted and k.claimed_at >= now() - '24 hours'::interval;
  if not found then
    insert into auth.idempotency_keys (tenant_id, subject, key, request_hash, rank)
    values (tenant, subject_id, wanted, hash, sealed_rank)
    on conflict (tenant_id, subject, key) do update
      set request_hash = excluded.request_hash, rank = excluded.rank, claimed_at = excluded.claimed_at,
          answer_status = null, answer_headers = null, answer_body = null;
  elsif claimed.request_hash <> hash then
    perform request.raise_error('idempotency_mismatch', 'the key was used for another request', 'use a new key for a new request');
  elsif claimed.rank <> sealed_rank then
    -- As the gate sees it now, not as the token says: the member may have been downgraded since, the API key's token have fewer scopes.
    perform request.raise_error('idempotency_mismatch', 'the key was used by who could do more, or less', 'use a new key for a new request');
  else
    perform request.raise_error('idempotency_answer_lost',
      case when claimed.answer_status is null then 'the request was carried out; its answer was not kept'
           else format('the request was carried out with status %s; such an answer is not kept', claimed.answer_status) end,
      'read what it changed; do not send it again under another key');
  end if;
end
$$;
comment on function auth.claim_key(text) is
  'Part of the gate: takes the Idempotency-Key for the sealed subject, in the fate of this transaction. Raises idempotency_key_invalid, '
  'idempotency_in_flight, idempotency_mismatch, and idempotency_answer_lost where the same request was committed before.';
grant execute on function auth.claim_key(text) to rowhouse_sealer;

--@ function auth.purge_idempotency_keys()
create function auth.purge_idempotency_keys()
returns bigint
language plpgsql
volatile
security definer -- the worker, which calls it, may not read keys; the owner's policy shows expired ones alone
set search_path = ''
parallel unsafe
as $$
declare
  tenant text;
  removed bigint;
  total bigint := 0;
begin
  -- Tenant by tenant, along the index: there is none that spans them.
  for tenant in select id from tenancy.tenants loop
    delete from auth.idempotency_keys where tenant_id = tenant and claimed_at < now() - '24 hours'::interval;
    get diagnostics removed = row_count;
    total := total + removed;
  end loop;
  return total;
end
$$;
comment on function auth.purge_idempotency_keys() is 'Removes the keys, and the answers with them, that are older than 24 hours. Returns how many.';
grant execute on function auth.purge_idempotency_keys() to rowhouse_worker;

--@ function auth.keep_answer(text, text, text, integer, jsonb, bytea)
set role rowhouse_sealer;
create function auth.keep_answer(token text, field text, hash text, status integer, headers jsonb, body bytea)
returns boolean
language plpgsql
volatile
security definer -- the edge may not write keys
set search_path = ''
parallel unsafe
as $$
begin
  perform auth.enter(token);
  update auth.idempotency_keys as k set answer_status = status, answer_headers = headers, answer_body = body
  where k.tenant_id = request.tenant_id() and k.subject = request.subject() and k.key = auth.plain_key(field)
    and k.request_hash = hash and k.answer_status is null;
  return found;
end
$$;
comment on function auth.keep_answer(text, text, text, integer, jsonb, bytea) is
  'Stores the answer of a request that was committed under an Idempotency-Key, as its bearer. body: null where it is not kept. '
  'Returns false where no such key waits for one. Raises what auth.enter() raises.';
grant execute on function auth.keep_answer(text, text, text, integer, jsonb, bytea) to rowhouse_edge;
set role rowhouse_owner;

--@ function auth.kept_answer(text, text, text)
set role rowhouse_sealer;
create function auth.kept_answer(token text, field text, hash text)
returns table (age double precision, status integer, headers jsonb, body bytea)
language plpgsql
volatile
security definer -- the edge may not read keys
set search_path = ''
parallel unsafe
as $$
begin
  perform auth.enter(token);
  return query
    select extract(epoch from clock_timestamp() - k.claimed_at)::double precision, k.answer_status, k.answer_headers, k.answer_body
    from auth.idempotency_keys as k
    where k.tenant_id = request.tenant_id() and k.subject = request.subject() and k.key = auth.plain_key(field)
      and k.request_hash = hash and k.claimed_at >= now() - '24 hours'::interval;
end
$$;
comment on function auth.kept_answer(text, text, text) is
  'The answer stored under an Idempotency-Key of the token''s bearer: seconds since the request, and nulls where none was stored. '
  'Raises what auth.enter() raises.';
grant execute on function auth.kept_answer(text, text, text) to rowhouse_edge;
set role rowhouse_owner;

--@ function auth.claims_for(text, text, interval, jsonb)
create function auth.claims_for(subject text, role text, ttl interval, further jsonb)
returns jsonb
language sql
volatile
security invoker
parallel unsafe
begin atomic
  select jsonb_strip_nulls(jsonb_build_object('iss', 'rowhouse', 'aud', 'rowhouse', 'sub', subject, 'role', role, 'scope', '',
    'iat', issued_at, 'exp', issued_at + extract(epoch from ttl)::bigint, 'jti', gen_random_uuid()) || further)
  from cast(extract(epoch from now()) as bigint) as issued_at;
end;
comment on function auth.claims_for(text, text, interval, jsonb) is 'The claims that every token has, and further ones of this token.';
grant execute on function auth.claims_for(text, text, interval, jsonb) to rowhouse_sealer;

--@ function auth.issue_token(text, text, text, interval, text)
create or replace function auth.issue_token(
  tenant_id text, subject text, tenant_role text, ttl interval default '1 hour', role text default 'tenant_user')
returns text
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  if ttl <= '0'::interval or ttl > '31 days'::interval then
    perform request.raise_error('token_invalid', 'a token lives for more than nothing and at most 31 days');
  elsif role = 'tenant_user' and tenancy.role_rank(tenant_role) is null then
    perform request.raise_error('token_invalid', 'the tenant role is not viewer, member, admin or owner');
  end if;
  return auth.sign_claims(auth.claims_for(subject, role, ttl,
    jsonb_build_object('tenant_id', tenant_id, 'tenant_role', tenant_role)));
end
$$;
comment on function auth.issue_token(text, text, text, interval, text) is
  'A sealed token. tenant_role: the most that it may carry; the gate still asks for membership. An operator''s has no tenant. '
  'Raises token_invalid.';

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
select tenancy.protect('auth.api_keys', partitions => 1, write_role => 'admin', client_verbs => '{}');
grant select on auth.api_keys to tenant_user;
grant select, insert, update on auth.api_keys to rowhouse_sealer;

--@ policy "Only an admin sees keys" on auth.api_keys
create policy "Only an admin sees keys" on auth.api_keys
  as restrictive for select to tenant_user using ((select request.has_tenant_role('admin')));

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
select tenancy.protect('auth.api_key_uses', partitions => 1, ledger => false, write_role => 'owner', client_verbs => '{}');
grant select on auth.api_key_uses to tenant_user;
grant select, insert, update on auth.api_key_uses to rowhouse_sealer;

--@ policy "Only an admin sees uses of keys" on auth.api_key_uses
create policy "Only an admin sees uses of keys" on auth.api_key_uses
  as restrictive for select to tenant_user using ((select request.has_tenant_role('admin')));

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

--@ function auth.make_api_key(text, text[], text, timestamptz, cidr[])
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

--@ function auth.exchange_api_key(text, inet, text[], interval)
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

--@ function auth.exchange_external(text, text, text, interval, interval)
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

--@ function auth.grant_session(text, text, text, interval, uuid, timestamptz)
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

--@ function auth.refresh_session(text, interval)
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

--@ table tenancy.tenant_settings
create table tenancy.tenant_settings (
  tenant_id tenancy.tenant_id not null,
  read_rate integer,
  read_burst integer,
  write_rate integer,
  write_burst integer,
  expensive_rate integer,
  expensive_burst integer,
  rate_shadow boolean not null default false,
  rate_weighted boolean not null default false,
  request_concurrency integer,
  queue_length integer,
  queue_wait interval,
  statement_timeout interval,
  cache_bytes bigint,
  cache_enabled boolean not null default true,
  uncached_relations text[] not null default '{}',
  cors_origins text[] not null default '{}',
  pool text collate "C",
  updated_at timestamptz not null default now(),
  constraint tenant_settings_pkey primary key (tenant_id),
  constraint tenant_settings_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
  constraint tenant_settings_rates_positive
    check (least(read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst) > 0),
  constraint tenant_settings_requests_positive check (request_concurrency > 0 and queue_length >= 0),
  constraint tenant_settings_queue_wait_range check (queue_wait between '0' and '1 minute'),
  constraint tenant_settings_statement_timeout_range check (statement_timeout between '10 ms' and '1 hour'),
  constraint tenant_settings_cache_bytes_not_negative check (cache_bytes >= 0),
  constraint tenant_settings_cors_origins_form check (
    array_to_string(cors_origins, ' ', '?') ~ '^(https?://[A-Za-z0-9.:-]+( https?://[A-Za-z0-9.:-]+)*)?$')
) partition by hash (tenant_id);
comment on table tenancy.tenant_settings is 'Where one tenant differs from its plan. Null: as the plan says.';
comment on column tenancy.tenant_settings.rate_shadow is 'Limits are counted and logged, and let everything through.';
comment on column tenancy.tenant_settings.rate_weighted is 'A large answer costs more than one token.';
comment on column tenancy.tenant_settings.uncached_relations is 'Relations of v1 whose rows edges do not keep.';
comment on column tenancy.tenant_settings.cors_origins is 'Origins whose pages may call the API for this tenant.';
-- One partition, as tenancy.members: the gate looks here on every request.
select tenancy.protect('tenancy.tenant_settings', partitions => 1);
grant select on tenancy.tenant_settings to rowhouse_sealer;

--@ policy "The directory functions keep settings" on tenancy.tenant_settings
create policy "The directory functions keep settings" on tenancy.tenant_settings
  for all to rowhouse_owner using (true) with check (true);

--@ policy "The gate looks up any tenant's settings" on tenancy.tenant_settings
create policy "The gate looks up any tenant's settings" on tenancy.tenant_settings
  for select to rowhouse_sealer using (true);

--@ table tenancy.domains
create table tenancy.domains (
  host text collate "C" not null,
  tenant_id tenancy.tenant_id not null,
  created_at timestamptz not null default now(),
  constraint domains_pkey primary key (host),
  constraint domains_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
  constraint domains_host_form check (
    host ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' and length(host) <= 253)
);
create index domains_tenant_idx on tenancy.domains (tenant_id);
comment on table tenancy.domains is 'Hosts of a tenant''s own: a request that comes by one has to have that tenant''s token.';
alter table tenancy.domains enable row level security;
alter table tenancy.domains force row level security;

--@ policy "The directory functions keep domains" on tenancy.domains
create policy "The directory functions keep domains" on tenancy.domains
  for all to rowhouse_owner using (true) with check (true);

--@ function tenancy.settings_of(text)
create function tenancy.settings_of(tenant_id text)
returns jsonb
language sql
stable
security definer -- the edge holds no grant on the directory
set search_path = ''
parallel safe
begin atomic
  select jsonb_build_object(
    'tenantId', t.id, 'slug', t.slug, 'status', t.status, 'tier', t.tier,
    'limits', jsonb_build_object(
      'read', jsonb_build_object('rate', coalesce(s.read_rate, p.read_rate), 'burst', coalesce(s.read_burst, p.read_burst)),
      'write', jsonb_build_object('rate', coalesce(s.write_rate, p.write_rate), 'burst', coalesce(s.write_burst, p.write_burst)),
      'expensive', jsonb_build_object(
        'rate', coalesce(s.expensive_rate, p.expensive_rate), 'burst', coalesce(s.expensive_burst, p.expensive_burst))),
    'shadow', coalesce(s.rate_shadow, false),
    'weighted', coalesce(s.rate_weighted, false),
    'concurrency', coalesce(s.request_concurrency, p.request_concurrency),
    'queue', coalesce(s.queue_length, p.queue_length),
    'queueMs', extract(epoch from coalesce(s.queue_wait, p.queue_wait)) * 1000,
    'statementTimeoutMs', extract(epoch from coalesce(s.statement_timeout, p.statement_timeout)) * 1000,
    'cacheBytes', coalesce(s.cache_bytes, p.cache_bytes),
    'cacheEnabled', coalesce(s.cache_enabled, true),
    'uncachedTables', to_jsonb(coalesce(s.uncached_relations, '{}')),
    'corsOrigins', to_jsonb(coalesce(s.cors_origins, '{}')),
    'pool', coalesce(s.pool, p.pool))
  from tenancy.tenants as t
  join tenancy.plans as p on p.tier = t.tier
  left join tenancy.tenant_settings as s on s.tenant_id = t.id
  where t.id = settings_of.tenant_id;
end;
comment on function tenancy.settings_of(text) is
  'What an edge has to know of a tenant: its plan with the tenant''s own settings over it. Null where there is no such tenant.';
grant execute on function tenancy.settings_of(text) to rowhouse_edge;

--@ function tenancy.tenant_of_host(text, text)
create function tenancy.tenant_of_host(asked_host text, label text)
returns text
language sql
stable
security definer -- the edge holds no grant on the directory
set search_path = ''
parallel safe
begin atomic
  select coalesce(
    (select tenant_id from tenancy.domains where host = asked_host),
    (select id from tenancy.tenants where slug = label));
end;
comment on function tenancy.tenant_of_host(text, text) is
  'The tenant whose own domain a host is, or whose slug its first label is; null for neither. label: null outside the tenants'' domain.';
grant execute on function tenancy.tenant_of_host(text, text) to rowhouse_edge;

--@ table tenancy.pools
create table tenancy.pools (
  name text collate "C" not null,
  url text not null,
  kind text collate "C" not null,
  connections integer not null default 64,
  enabled boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint pools_pkey primary key (name),
  constraint pools_name_form check (name ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
  constraint pools_url_form check (url ~ '^(https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?/?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?/?|unix:/[A-Za-z0-9._/-]+)$'),
  constraint pools_kind_known check (kind in ('shared', 'dedicated', 'replica')),
  constraint pools_connections_range check (connections between 1 and 1024)
);
comment on table tenancy.pools is 'The PostgRESTs that edges forward to. While none is shared, POSTGREST_URL of the edge is.';
comment on column tenancy.pools.url is '`http://host:port`, or `unix:/path` for a socket. Without a path: the edge sends the API''s own.';
comment on column tenancy.pools.kind is
  '`shared`: serves everybody. `dedicated`: the tenants and tiers whose settings name it. `replica`: reads, of everybody or of those that name it.';
comment on column tenancy.pools.connections is 'Connections that one edge opens to it.';

-- Settings and plans name a pool without a foreign key: a pool that is taken away in an emergency is not held back by
-- those who used it. They are served by the shared ones.
alter table tenancy.pools enable row level security;
alter table tenancy.pools force row level security;

--@ trigger touch on tenancy.pools
create trigger touch before update on tenancy.pools for each row execute function tenancy.touch();

--@ policy "The directory functions keep pools" on tenancy.pools
create policy "The directory functions keep pools" on tenancy.pools
  for all to rowhouse_owner using (true) with check (true);

--@ function tenancy.enabled_pools()
create function tenancy.enabled_pools()
returns table (name text, url text, kind text, connections integer)
language sql
stable
security definer -- the edge holds no grant on the directory
rows 8
set search_path = ''
parallel safe
begin atomic
  select name, url, kind, connections from tenancy.pools where enabled order by name;
end;
comment on function tenancy.enabled_pools() is 'Where edges may forward to.';
grant execute on function tenancy.enabled_pools() to rowhouse_edge;

--@ table tenancy.directory_changes
create table tenancy.directory_changes (
  transaction_id xid8 not null default pg_current_xact_id(),
  table_name text collate "C" not null,
  changed_at timestamptz not null default now()
);
create index directory_changes_follow_idx on tenancy.directory_changes (transaction_id);
comment on table tenancy.directory_changes is
  'That something which belongs to no tenant has changed: edges forget what they know of all. An hour of them is kept.';
grant select on tenancy.directory_changes to rowhouse_dispatcher;

--@ function tenancy.note_directory_change()
create function tenancy.note_directory_change()
returns trigger
language plpgsql
volatile
security definer -- whoever may change a key or an operator may not write here
set search_path = ''
parallel unsafe
as $$
begin
  insert into tenancy.directory_changes (table_name) values (format('%I.%I', tg_table_schema, tg_table_name));
  delete from tenancy.directory_changes where changed_at < now() - '1 hour'::interval;
  return null;
end
$$;
comment on function tenancy.note_directory_change() is 'Statement trigger: tells the followers of the ledger what the ledger does not hold.';

--@ trigger note_directory_change on tenancy.tenants
create trigger note_directory_change after insert or update or delete or truncate on tenancy.tenants
  for each statement execute function tenancy.note_directory_change();

--@ trigger note_directory_change on tenancy.plans
create trigger note_directory_change after insert or update or delete or truncate on tenancy.plans
  for each statement execute function tenancy.note_directory_change();

--@ trigger note_directory_change on tenancy.domains
create trigger note_directory_change after insert or update or delete or truncate on tenancy.domains
  for each statement execute function tenancy.note_directory_change();

--@ trigger note_directory_change on tenancy.pools
create trigger note_directory_change after insert or update or delete or truncate on tenancy.pools
  for each statement execute function tenancy.note_directory_change();

--@ trigger note_directory_change on auth.signing_keys
create trigger note_directory_change after insert or update or delete or truncate on auth.signing_keys
  for each statement execute function tenancy.note_directory_change();

--@ trigger note_directory_change on auth.operators
create trigger note_directory_change after insert or update or delete or truncate on auth.operators
  for each statement execute function tenancy.note_directory_change();

--@ function ledger.changes_after(pg_snapshot)
set role rowhouse_dispatcher;
create function ledger.changes_after(seen pg_snapshot)
returns table (snapshot pg_snapshot, tenant_id text, table_name text)
language plpgsql
stable
security definer -- reads that rows of any tenant have changed, never what is in them
set search_path = ''
-- Planning 16 partitions each time costs four times as much as reading them. The generic plan guesses that a third of all entries
-- are new, so it has to be kept from reading them all.
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = 'off'
parallel unsafe
as $$
#variable_conflict use_column
begin
  return query select pg_current_snapshot(), null::text, null::text;
  if pg_current_snapshot()::text = seen::text then
    return;
  end if;
  -- What committed in between: transactions that began after that snapshot, and those that it saw running and that have ended.
  return query
    select null::pg_snapshot, changed.tenant_id, changed.table_name
    from (
      select tenant_id::text, table_name from ledger.entries where transaction_id >= pg_snapshot_xmax(seen)
      union
      select null, table_name from tenancy.directory_changes where transaction_id >= pg_snapshot_xmax(seen)
      union
      select entry.tenant_id::text, entry.table_name
      from pg_snapshot_xip(seen) as running
      join ledger.entries as entry on entry.transaction_id = running
      where pg_visible_in_snapshot(running, pg_current_snapshot())
      union
      select null, entry.table_name
      from pg_snapshot_xip(seen) as running
      join tenancy.directory_changes as entry on entry.transaction_id = running
      where pg_visible_in_snapshot(running, pg_current_snapshot())
    ) as changed;
end
$$;
comment on function ledger.changes_after(pg_snapshot) is
  'The first row is this statement''s snapshot; the others say which tables of which tenants have changed, visibly now, since the '
  'snapshot `seen`; the tenant is null for what belongs to none. Exact: nothing that committed in between is missing, whatever '
  'ran at the time.';
grant execute on function ledger.changes_after(pg_snapshot) to rowhouse_edge;
set role rowhouse_owner;

--@ table metering.rate_buckets
-- Unlogged: a lease is one row's update with nothing to flush. After a crash every bucket is full again.
create unlogged table metering.rate_buckets (
  tenant_id tenancy.tenant_id not null,
  kind text collate "C" not null,
  units double precision not null,
  refilled_at timestamptz not null,
  constraint rate_buckets_pkey primary key (tenant_id, kind),
  constraint rate_buckets_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
  constraint rate_buckets_kind_known check (kind in ('read', 'write', 'expensive')),
  constraint rate_buckets_units_number check (units <> 'NaN')
) with (fillfactor = 50); -- so that a changed row finds room on its page, and no index is touched
comment on table metering.rate_buckets is 'The token buckets that edges lease from: one for each tenant and kind of request, made when first used.';
comment on column metering.rate_buckets.units is 'What was left at refilled_at. Below zero: used before it was leased.';
alter table metering.rate_buckets enable row level security;
alter table metering.rate_buckets force row level security;

--@ policy "Leases are made for every tenant" on metering.rate_buckets
create policy "Leases are made for every tenant" on metering.rate_buckets
  for all to rowhouse_owner using (true) with check (true);

--@ table metering.edges
create unlogged table metering.edges (
  id uuid not null,
  seen_at timestamptz not null,
  constraint edges_pkey primary key (id)
);
comment on table metering.edges is 'The edges that run, by when they were last seen: an edge that is cut off takes its share of a limit.';

--@ function metering.lease(text[], text[], double precision[], double precision[], double precision[], double precision[], double precision[])
create function metering.lease(
  tenant_ids text[], kinds text[], rates double precision[], bursts double precision[],
  owed double precision[], wanted double precision[], ceilings double precision[])
returns table (ask integer, granted double precision, remaining double precision)
language plpgsql
volatile
security definer -- an edge reaches the buckets through this alone
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_column
declare
  asked record;
  bucket metering.rate_buckets;
  instant timestamptz;
begin
  for asked in
    select nth::integer, tenant_id, kind, rate, greatest(burst, 1) as burst, owed, wanted, ceiling
    from unnest(tenant_ids, kinds, rates, bursts, owed, wanted, ceilings)
      with ordinality as asks (tenant_id, kind, rate, burst, owed, wanted, ceiling, nth)
    order by tenant_id, kind -- every edge locks in the same order
  loop
    select * into bucket from metering.rate_buckets as b
    where b.tenant_id = asked.tenant_id and b.kind = asked.kind for no key update;
    if not found then
      insert into metering.rate_buckets as b (tenant_id, kind, units, refilled_at)
      select t.id, asked.kind, asked.burst, clock_timestamp() from tenancy.tenants as t where t.id = asked.tenant_id
      on conflict on constraint rate_buckets_pkey do update set units = b.units
      returning * into bucket;
      continue when not found; -- no such tenant
    end if;
    instant := greatest(clock_timestamp(), bucket.refilled_at);
    -- What was used without a lease was used while the bucket was filling: it counts before the bucket is full.
    bucket.units := least(asked.burst, coalesce(asked.ceiling, asked.burst),
      bucket.units - asked.owed + asked.rate * extract(epoch from instant - bucket.refilled_at)::double precision);
    -- A debt is paid off within a minute, however much one answer weighed.
    bucket.units := greatest(bucket.units, -greatest(asked.burst, 60 * asked.rate));
    ask := asked.nth;
    granted := greatest(least(asked.wanted, bucket.units), 0);
    remaining := bucket.units - granted;
    update metering.rate_buckets as b set units = remaining, refilled_at = instant
    where b.tenant_id = asked.tenant_id and b.kind = asked.kind;
    return next;
  end loop;
end
$$;
comment on function metering.lease(text[], text[], double precision[], double precision[], double precision[], double precision[],
  double precision[]) is
  'Takes units from token buckets, several at once, by the database''s clock. An edge passes for each: the limit''s rate and burst as it '
  'knows them, what it used without a lease (below zero: what it gives back), how much it wants, and, coming from elsewhere, what it '
  'knows to be the most that is left. Returns what was granted of it, and what remains; nothing for an unknown tenant.';
grant execute on function metering.lease(text[], text[], double precision[], double precision[], double precision[],
  double precision[], double precision[]) to rowhouse_edge;

--@ function metering.attend(uuid, boolean)
create function metering.attend(edge_id uuid, leaving boolean default false)
returns integer
language plpgsql
volatile
security definer -- an edge reaches the list through this alone
set search_path = ''
parallel unsafe
as $$
declare
  others integer;
begin
  delete from metering.edges where (id = edge_id and leaving) or seen_at < now() - '10 s'::interval;
  if not leaving then
    insert into metering.edges (id, seen_at) values (edge_id, now())
    on conflict (id) do update set seen_at = excluded.seen_at;
  end if;
  select count(*) into others from metering.edges where id <> edge_id;
  return others + 1;
end
$$;
comment on function metering.attend(uuid, boolean) is
  'Says that an edge runs, every few seconds, or that it ends. Returns how many run: those that said so in the last 10 seconds, and itself.';
grant execute on function metering.attend(uuid, boolean) to rowhouse_edge;

--@ function metering.own_limits()
create function metering.own_limits()
returns jsonb
language sql
stable
security definer -- members hold no grant on the directory
set search_path = ''
parallel safe
begin atomic
  select jsonb_build_object('rates', settings -> 'limits', 'shadow', settings -> 'shadow', 'concurrency', settings -> 'concurrency',
    'statement_timeout_ms', (settings -> 'statementTimeoutMs')::bigint)
  from tenancy.settings_of(request.tenant_id()) as settings;
end;
comment on function metering.own_limits() is 'The limits of the sealed tenant. What is left of them, metering.own_buckets() says.';
grant execute on function metering.own_limits() to tenant_user;

--@ function metering.own_buckets()
create function metering.own_buckets()
returns jsonb
language sql
stable
security definer -- members hold no grant on the buckets
set search_path = ''
parallel safe
begin atomic
  select jsonb_object_agg(limits.kind, floor(least(burst, coalesce(units + rate * passed, burst))))
  from jsonb_each(metering.own_limits() -> 'rates') as limits (kind, bucket)
  cross join lateral (select (bucket -> 'rate')::double precision, (bucket -> 'burst')::double precision) as numbers (rate, burst)
  left join metering.rate_buckets as b on b.tenant_id = request.tenant_id() and b.kind = limits.kind
  cross join lateral (select extract(epoch from clock_timestamp() - refilled_at)::double precision) as clock (passed);
end;
comment on function metering.own_buckets() is
  'About what is left of each limit of the sealed tenant: edges hold leases of their own for a tenth of a second.';
grant execute on function metering.own_buckets() to tenant_user;

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

--@ function v1.create_api_key(text, text[], text, timestamptz, cidr[])
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

--@ function tenancy.explain_access(text, text, jsonb, jsonb)
create or replace function tenancy.explain_access(method text, relation text, row_key jsonb default null, body jsonb default null)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  path constant text[] := regexp_match(relation, '^/?(?:(v1|admin)[./])?(rpc/)?([A-Za-z_][A-Za-z0-9_]{0,62})$');
  schema_name constant text := coalesce(path[1], 'v1');
  shown_as constant text := schema_name || '.' || path[3];
  verbs constant text[] := case upper(method) when 'GET' then '{select}' when 'HEAD' then '{select}' when 'POST' then '{insert}'
    when 'PUT' then '{insert,update}' when 'PATCH' then '{update}' when 'DELETE' then '{delete}' end;
  asked constant jsonb := jsonb_build_object('method', upper(method), 'relation', coalesce(shown_as, relation), 'verb', verbs[1],
    'row_key', row_key, 'body', body);
  context jsonb := jsonb_build_object('tenant_id', nullif(split_part(request.seal(), ' ', 1), '_'), 'subject', request.subject(),
    'role', request.role(), 'tenant_role', request.tenant_role());
  place constant text := case request.role() when 'operator' then 'the directory' else 'your tenant' end;
  target oid;
  unknown_columns text;
  present jsonb;
  explained jsonb := '{"grants": [], "policies": [], "row": null}';
  one jsonb;
  verb text;
  refusal text;
begin
  if request.role() = 'tenant_user' then
    context := context || (select jsonb_build_object('membership', role) from tenancy.members
      where tenant_id = request.tenant_id() and user_id = request.subject());
    explained := explained || jsonb_build_object('limits', metering.own_limits());
  end if;
  select c.oid into target from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = relnamespace
  where nspname = schema_name and relname = path[3] and relkind in ('r', 'p', 'v', 'm', 'f');
  select string_agg(name, ', ' order by name) into unknown_columns
  from (select jsonb_object_keys(case jsonb_typeof(row_key) when 'object' then row_key end)
    union select jsonb_object_keys(case jsonb_typeof(body) when 'object' then body end)) as named (name)
  where not exists (select from pg_catalog.pg_attribute where attrelid = target and attname = name and attnum > 0 and not attisdropped);
  refusal := case
    when verbs is null then 'the method is not GET, HEAD, POST, PUT, PATCH or DELETE'
    when jsonb_typeof(row_key) <> 'object' or jsonb_typeof(body) <> 'object' then 'row key and body are JSON objects: columns and values'
    when path is null then 'the relation is not one name, such as jobs'
    when path[2] is not null then null
    when target is null then format('the API has no relation %s', shown_as)
    when not has_schema_privilege(schema_name, 'usage') then format('the role %s does not reach the %s API', request.role(), schema_name)
    when unknown_columns is not null then format('%s has no column %s', shown_as, unknown_columns)
  end;
  if refusal is not null then
    return explained || jsonb_build_object('request', asked, 'context', context, 'allowed', false, 'summary', refusal,
      'next', case when target is not null and unknown_columns is null
        then 'v1 is for members'' tokens, admin for operators''' else 'look the names up in the API documentation' end);
  elsif path[2] is not null then
    return explained || jsonb_build_object('request', asked, 'context', context) || tenancy.explain_function(schema_name, path[3]);
  end if;
  if verbs <> '{insert}' then
    present := tenancy.explain_row(target, row_key);
    -- The same words whatever another tenant has: only what the caller can read was looked at.
    explained := explained || jsonb_build_object('row', jsonb_build_object('found', present is not null, 'sentence', case
      when present is null and row_key is null then format('%s has no row here', place)
      when present is null then format('no such row in %s', place)
      when row_key is null then format('%s has rows here', place)
      else format('the row is in %s and visible', place) end));
  end if;
  foreach verb in array verbs loop
    continue when verb = 'update' and verbs[1] = 'insert' and present is null; -- PUT of a new row
    one := tenancy.explain_verb(target, shown_as, verb, case when row_key is not null then present end, coalesce(body, '{}'));
    explained := explained || jsonb_build_object(
      'grants', (explained -> 'grants') || (one -> 'grants'), 'policies', (explained -> 'policies') || (one -> 'policies'),
      'decided_by_function', one -> 'decided_by_function');
  end loop;
  return (explained - 'decided_by_function') || jsonb_build_object('request', asked, 'context', context)
    || tenancy.explain_refusal(asked, context, explained);
end
$$;
comment on function tenancy.explain_access(text, text, jsonb, jsonb) is
  'Why a request of the API is allowed or refused, for the sealed caller: grants, policies, and whether they pass. row_key: columns '
  'and values that name a row; body: what would be written. Looks at nothing that the caller could not read, and writes nothing.';

--@ function admin.set_tenant_settings(text, jsonb)
create function admin.set_tenant_settings(id text, settings jsonb)
returns jsonb
language plpgsql
volatile
security definer -- operators hold no grant on the directory
set search_path = ''
parallel unsafe
as $$
declare
  stored tenancy.tenant_settings;
  problem text;
begin
  perform auth.require_operator();
  if not exists (select from tenancy.tenants where tenants.id = set_tenant_settings.id) then
    perform request.raise_error('tenant_unknown');
  end if;
  insert into tenancy.tenant_settings (tenant_id) values (set_tenant_settings.id) on conflict do nothing;
  select * into strict stored from tenancy.tenant_settings as s where s.tenant_id = set_tenant_settings.id for update;
  select name into problem from jsonb_object_keys(settings) as name
  where name in ('tenant_id', 'updated_at') or not to_jsonb(stored) ? name limit 1;
  if found then
    perform request.raise_error('tenant_invalid', format('no setting is called %s', problem), 'the settings are what this function returns');
  end if;
  stored := jsonb_populate_record(stored, settings);
  update tenancy.tenant_settings as s set (
    read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst, rate_shadow, rate_weighted,
    request_concurrency, queue_length, queue_wait, statement_timeout, cache_bytes, cache_enabled, uncached_relations,
    cors_origins, pool
  ) = (
    stored.read_rate, stored.read_burst, stored.write_rate, stored.write_burst, stored.expensive_rate,
    stored.expensive_burst, stored.rate_shadow, stored.rate_weighted, stored.request_concurrency,
    stored.queue_length, stored.queue_wait, stored.statement_timeout, stored.cache_bytes, stored.cache_enabled,
    stored.uncached_relations, stored.cors_origins, stored.pool
  ) where s.tenant_id = set_tenant_settings.id;
  return to_jsonb(stored) - 'tenant_id' - 'updated_at';
exception
  when check_violation or not_null_violation or data_exception then
    get stacked diagnostics problem = constraint_name;
    perform request.raise_error('tenant_invalid', format('%s does not hold', coalesce(nullif(problem, ''), 'the type of a value')));
end
$$;
comment on function admin.set_tenant_settings(text, jsonb) is $$Set a tenant's settings

Changes the members that are given and returns them all; null gives a setting that plans have back to the plan. Edges follow within half a second.$$;
grant execute on function admin.set_tenant_settings(text, jsonb) to operator;

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ drop function admin.set_tenant_settings(text, jsonb)
drop function admin.set_tenant_settings(text, jsonb);

--@ drop function v1.revoke_api_key(text)
drop function v1.revoke_api_key(text);

--@ drop function v1.create_api_key(text, text[], text, timestamptz, cidr[])
drop function v1.create_api_key(text, text[], text, timestamptz, cidr[]);

--@ drop view v1.api_keys
drop view v1.api_keys;

--@ drop function metering.own_buckets()
drop function metering.own_buckets();

--@ drop function metering.own_limits()
drop function metering.own_limits();

--@ drop function metering.attend(uuid, boolean)
drop function metering.attend(uuid, boolean);

--@ drop function metering.lease(text[], text[], double precision[], double precision[], double precision[], double precision[], double precision[])
drop function metering.lease(text[], text[], double precision[], double precision[], double precision[], double precision[], double precision[]);

--@ drop table metering.edges
drop table metering.edges;

--@ drop policy "Leases are made for every tenant" on metering.rate_buckets
-- ACCESS EXCLUSIVE on metering.rate_buckets until commit.
drop policy "Leases are made for every tenant" on metering.rate_buckets;

--@ drop table metering.rate_buckets
drop table metering.rate_buckets;

--@ drop function ledger.changes_after(pg_snapshot)
drop function ledger.changes_after(pg_snapshot);

--@ drop trigger note_directory_change on auth.operators
drop trigger note_directory_change on auth.operators;

--@ drop trigger note_directory_change on auth.signing_keys
drop trigger note_directory_change on auth.signing_keys;

--@ drop trigger note_directory_change on tenancy.pools
drop trigger note_directory_change on tenancy.pools;

--@ drop trigger note_directory_change on tenancy.domains
drop trigger note_directory_change on tenancy.domains;

--@ drop trigger note_directory_change on tenancy.plans
drop trigger note_directory_change on tenancy.plans;

--@ drop trigger note_directory_change on tenancy.tenants
drop trigger note_directory_change on tenancy.tenants;

--@ drop function tenancy.note_directory_change()
drop function tenancy.note_directory_change();

--@ drop table tenancy.directory_changes
drop table tenancy.directory_changes;

--@ drop function tenancy.enabled_pools()
drop function tenancy.enabled_pools();

--@ drop policy "The directory functions keep pools" on tenancy.pools
-- ACCESS EXCLUSIVE on tenancy.pools until commit.
drop policy "The directory functions keep pools" on tenancy.pools;

--@ drop trigger touch on tenancy.pools
drop trigger touch on tenancy.pools;

--@ drop table tenancy.pools
drop table tenancy.pools;

--@ drop function tenancy.tenant_of_host(text, text)
drop function tenancy.tenant_of_host(text, text);

--@ drop function tenancy.settings_of(text)
drop function tenancy.settings_of(text);

--@ drop policy "The directory functions keep domains" on tenancy.domains
-- ACCESS EXCLUSIVE on tenancy.domains until commit.
drop policy "The directory functions keep domains" on tenancy.domains;

--@ drop table tenancy.domains
drop table tenancy.domains;

--@ drop policy "The gate looks up any tenant's settings" on tenancy.tenant_settings
-- ACCESS EXCLUSIVE on tenancy.tenant_settings until commit.
drop policy "The gate looks up any tenant's settings" on tenancy.tenant_settings;

--@ drop policy "The directory functions keep settings" on tenancy.tenant_settings
-- ACCESS EXCLUSIVE on tenancy.tenant_settings until commit.
drop policy "The directory functions keep settings" on tenancy.tenant_settings;

--@ drop table tenancy.tenant_settings
drop table tenancy.tenant_settings;

--@ drop function auth.purge_refresh_tokens()
drop function auth.purge_refresh_tokens();

--@ drop function auth.revoke_refresh_token(text)
drop function auth.revoke_refresh_token(text);

--@ drop function auth.refresh_session(text, interval)
drop function auth.refresh_session(text, interval);

--@ drop function auth.grant_session(text, text, text, interval, uuid, timestamptz)
drop function auth.grant_session(text, text, text, interval, uuid, timestamptz);

--@ drop function auth.refresh_token_tenant(text)
drop function auth.refresh_token_tenant(text);

--@ drop policy "The sealer keeps the refresh tokens" on auth.refresh_tokens
-- ACCESS EXCLUSIVE on auth.refresh_tokens until commit.
drop policy "The sealer keeps the refresh tokens" on auth.refresh_tokens;

--@ drop table auth.refresh_tokens
drop table auth.refresh_tokens;

--@ drop function auth.exchange_external(text, text, text, interval, interval)
drop function auth.exchange_external(text, text, text, interval, interval);

--@ drop table auth.issuers
drop table auth.issuers;

--@ drop function auth.list_api_keys(text)
drop function auth.list_api_keys(text);

--@ drop function auth.record_api_key_uses(jsonb)
drop function auth.record_api_key_uses(jsonb);

--@ drop function auth.exchange_api_key(text, inet, text[], interval)
drop function auth.exchange_api_key(text, inet, text[], interval);

--@ drop function auth.end_api_key(text)
drop function auth.end_api_key(text);

--@ drop function auth.make_api_key(text, text[], text, timestamptz, cidr[])
drop function auth.make_api_key(text, text[], text, timestamptz, cidr[]);

--@ drop function auth.admit_api_key(jsonb)
drop function auth.admit_api_key(jsonb);

--@ drop policy "The edge records uses through the sealer" on auth.api_key_uses
-- ACCESS EXCLUSIVE on auth.api_key_uses until commit.
drop policy "The edge records uses through the sealer" on auth.api_key_uses;

--@ drop policy "Only an admin sees uses of keys" on auth.api_key_uses
-- ACCESS EXCLUSIVE on auth.api_key_uses until commit.
drop policy "Only an admin sees uses of keys" on auth.api_key_uses;

--@ drop table auth.api_key_uses
drop table auth.api_key_uses;

--@ drop policy "The sealer keeps the hashes" on auth.api_key_hashes
-- ACCESS EXCLUSIVE on auth.api_key_hashes until commit.
drop policy "The sealer keeps the hashes" on auth.api_key_hashes;

--@ drop table auth.api_key_hashes
drop table auth.api_key_hashes;

--@ drop policy "The key functions keep any tenant's keys" on auth.api_keys
-- ACCESS EXCLUSIVE on auth.api_keys until commit.
drop policy "The key functions keep any tenant's keys" on auth.api_keys;

--@ drop policy "Only an admin sees keys" on auth.api_keys
-- ACCESS EXCLUSIVE on auth.api_keys until commit.
drop policy "Only an admin sees keys" on auth.api_keys;

--@ drop table auth.api_keys
drop table auth.api_keys;

--@ drop function auth.api_keyset()
drop function auth.api_keyset();

--@ drop function auth.claims_for(text, text, interval, jsonb)
drop function auth.claims_for(text, text, interval, jsonb);

--@ drop function auth.kept_answer(text, text, text)
drop function auth.kept_answer(text, text, text);

--@ drop function auth.keep_answer(text, text, text, integer, jsonb, bytea)
drop function auth.keep_answer(text, text, text, integer, jsonb, bytea);

--@ drop function auth.purge_idempotency_keys()
drop function auth.purge_idempotency_keys();

--@ drop function auth.claim_key(text)
drop function auth.claim_key(text);

--@ drop function auth.hold_key(text, text, text)
drop function auth.hold_key(text, text, text);

--@ drop function auth.plain_key(text)
drop function auth.plain_key(text);

--@ drop policy "The purge sees what has expired" on auth.idempotency_keys
-- ACCESS EXCLUSIVE on auth.idempotency_keys until commit.
drop policy "The purge sees what has expired" on auth.idempotency_keys;

--@ drop policy "The gate claims keys of the sealed tenant" on auth.idempotency_keys
-- ACCESS EXCLUSIVE on auth.idempotency_keys until commit.
drop policy "The gate claims keys of the sealed tenant" on auth.idempotency_keys;

--@ drop table auth.idempotency_keys
drop table auth.idempotency_keys;

--@ drop view request.error_codes
drop view request.error_codes;

--@ drop schema metering
drop schema metering;

--@ run undo schema ledger
-- Privileges: check by hand that no other object of the book grants the same.
revoke usage on schema ledger from rowhouse_worker, rowhouse_edge;

--@ schema ledger
grant usage on schema ledger to rowhouse_worker;
--= create schema ledger;
--= comment on schema ledger is 'One append-only row for every change of tenant data, and the cursors of those who follow it.';
--= grant usage on schema ledger to rowhouse_worker;
--= grant usage, create on schema ledger to rowhouse_dispatcher;

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
  ('file_not_found',       404, 'No such file'),
  ('file_exists',          409, 'The file is already stored'),
  ('upload_checksum',      422, 'The body does not have the announced checksum'),
  ('job_not_found',        404, 'No such job'),
  ('job_type_unknown',     422, 'No such job type'),
  ('job_transition',       409, 'The job cannot change to this status'),
  ('idempotency_conflict', 409, 'The idempotency key was used with another body'),
  ('lease_lost',           409, 'Another attempt runs this job now');
comment on view request.error_codes is 'Every error code that SQL raises. docs/errors.md explains each; a test compares both ways.';

--@ table tenancy.plans
alter table tenancy.plans
  drop column read_rate,
  drop column read_burst,
  drop column write_rate,
  drop column write_burst,
  drop column expensive_rate,
  drop column expensive_burst,
  drop column request_concurrency,
  drop column queue_length,
  drop column queue_wait,
  drop column statement_timeout,
  drop column cache_bytes,
  drop column pool;
comment on table tenancy.plans is 'What a tenant of each tier may use at once.';
revoke select on tenancy.plans from rowhouse_sealer;
-- Keep what starts with --= as it is: the record of the new text.
--- create table tenancy.plans (
---   tier text collate "C" not null,
---   job_concurrency integer not null,
---   description text not null,
---   read_rate integer not null,
---   read_burst integer not null,
---   write_rate integer not null,
---   write_burst integer not null,
---   expensive_rate integer not null,
---   expensive_burst integer not null,
---   request_concurrency integer not null,
---   queue_length integer not null,
---   queue_wait interval not null,
---   statement_timeout interval not null,
---   cache_bytes bigint not null,
---   pool text collate "C",
---   constraint plans_pkey primary key (tier),
---   constraint plans_job_concurrency_positive check (job_concurrency > 0),
---   constraint plans_rates_positive check (least(read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst) > 0),
---   constraint plans_requests_positive check (request_concurrency > 0 and queue_length >= 0),
---   constraint plans_queue_wait_range check (queue_wait between '0' and '1 minute'),
---   constraint plans_statement_timeout_range check (statement_timeout between '10 ms' and '1 hour'),
---   constraint plans_cache_bytes_not_negative check (cache_bytes >= 0)
--- );
--- comment on table tenancy.plans is 'What a tenant of each tier may use. tenancy.tenant_settings has the exceptions.';
--- comment on column tenancy.plans.job_concurrency is 'Jobs of one tenant that run at the same time.';
--- comment on column tenancy.plans.read_rate is 'Tokens that the tenant''s bucket gains each second: GET and HEAD.';
--- comment on column tenancy.plans.read_burst is 'Tokens that the bucket holds.';
--- comment on column tenancy.plans.write_rate is 'As read_rate, for requests that write.';
--- comment on column tenancy.plans.expensive_rate is 'As read_rate, for function calls and exact counts.';
--- comment on column tenancy.plans.request_concurrency is 'Requests of one tenant that one edge has in flight at the same time.';
--- comment on column tenancy.plans.queue_length is 'Requests that wait for one of those, for at most queue_wait.';
--- comment on column tenancy.plans.statement_timeout is 'How long one statement of a request may run.';
--- comment on column tenancy.plans.cache_bytes is 'What one edge keeps of the tenant''s answers.';
--- comment on column tenancy.plans.pool is 'The pool of tenancy.pools that the tier is served from; null for the shared ones.';
--- grant select on tenancy.plans to rowhouse_worker, operator, rowhouse_sealer;
--= create table tenancy.plans (
--=   tier text collate "C" not null,
--=   job_concurrency integer not null,
--=   description text not null,
--=   constraint plans_pkey primary key (tier),
--=   constraint plans_job_concurrency_positive check (job_concurrency > 0)
--= );
--= comment on table tenancy.plans is 'What a tenant of each tier may use at once.';
--= comment on column tenancy.plans.job_concurrency is 'Jobs of one tenant that run at the same time.';
--= grant select on tenancy.plans to rowhouse_worker, operator;

--@ data tenancy.plans
update tenancy.plans as p set description = new.description
from (values
  ('free', 'One job at a time', 'One job at a time, 50 reads a second'),
  ('standard', 'Two jobs at a time', 'Two jobs at a time, 500 reads a second'),
  ('enterprise', 'Eight jobs at a time', 'Eight jobs at a time, 5,000 reads a second')
) as new (tier, description, was)
where p.tier = new.tier and p.description = new.was;
-- Keep what starts with --= as it is: the record of the new text.
--- insert into tenancy.plans (tier, job_concurrency, description, read_rate, read_burst, write_rate, write_burst,
---   expensive_rate, expensive_burst, request_concurrency, queue_length, queue_wait, statement_timeout, cache_bytes)
--- values
---   ('free', 1, 'One job at a time, 50 reads a second', 50, 100, 10, 20, 5, 10, 2, 16, '2 s', '5 s', 1048576),
---   ('standard', 2, 'Two jobs at a time, 500 reads a second', 500, 1000, 100, 200, 50, 100, 4, 64, '2 s', '10 s', 8388608),
---   ('enterprise', 8, 'Eight jobs at a time, 5,000 reads a second', 5000, 10000, 1000, 2000, 500, 1000, 8, 256, '2 s', '15 s', 67108864);
--= insert into tenancy.plans (tier, job_concurrency, description) values
--=   ('free', 1, 'One job at a time'),
--=   ('standard', 2, 'Two jobs at a time'),
--=   ('enterprise', 8, 'Eight jobs at a time');

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
  rank integer := 0;
begin
  if claimed_role = 'operator' then
    if claimed_tenant is not null then
      perform request.raise_error('token_invalid', 'an operator has no tenant');
    elsif not exists (select from auth.operators where subject = claims ->> 'sub') then
      perform request.raise_error('membership_required', 'the subject is not an operator');
    end if;
  elsif claimed_role in ('tenant_user', 'rowhouse_worker', 'rowhouse_edge') then
    select status into tenant_status from tenancy.tenants where id = claimed_tenant;
    if not found then
      perform request.raise_error('tenant_unknown');
    elsif tenant_status = 'suspended' then
      perform request.raise_error('tenant_suspended', null, 'ask the operator to resume the tenant');
    end if;
    if claimed_role = 'tenant_user' then
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
    encode(convert_to(claims ->> 'sub', 'UTF8'), 'hex'), encode(convert_to(claims ->> 'jti', 'UTF8'), 'hex'));
end
$$;
comment on function auth.seal_for(text) is
  'What the gate writes into the protected variable: tenant, rank of the member''s role, role, and subject and token id as hex, '
  'since the variable holds letters, digits, _ and space. Raises what auth.verify_token() raises, tenant_unknown, '
  'tenant_suspended, membership_required.';
set role rowhouse_owner;

--@ table ledger.entries
drop index ledger.entries_follow_idx;
-- Keep what starts with --= as it is: the record of the new text.
--- -- One sequence for all tenants of this server: a tenant's order is its own positions, and a tenant that moves to another
--- -- server takes its positions along.
--- create sequence ledger.positions as bigint cache 1;
---
--- create function ledger.slot(tenant_id text)
--- returns smallint
--- language sql
--- immutable
--- security invoker
--- parallel safe
--- return (pg_catalog.hashtextextended(tenant_id, 0) & 15)::smallint;
--- comment on function ledger.slot(text) is 'Which of the 16 dispatch slots a tenant''s entries go through.';
---
--- create table ledger.entries (
---   tenant_id tenancy.tenant_id not null,
---   position bigint not null default nextval('ledger.positions'),
---   slot smallint not null generated always as (ledger.slot(tenant_id)) stored,
---   transaction_id xid8 not null default pg_current_xact_id(),
---   occurred_at timestamptz not null default clock_timestamp(),
---   table_name text collate "C" not null,
---   operation text collate "C" not null,
---   row_id text not null,
---   changed text[],
---   old jsonb,
---   new jsonb,
---   subject text,
---   role text collate "C",
---   token_id text collate "C",
---   address inet,
---   user_agent text,
---   request_id text,
---   trace_id text collate "C",
---   constraint entries_pkey primary key (tenant_id, position),
---   constraint entries_operation_known check (operation in ('insert', 'update', 'delete'))
--- ) partition by hash (tenant_id);
--- create index entries_row_idx on ledger.entries (tenant_id, table_name, row_id, position);
--- comment on table ledger.entries is 'Every change of tenant data: who, what, when, where, before and after. Append-only for everyone.';
--- comment on column ledger.entries.position is 'Order within the tenant: drawn while the changed rows were locked.';
--- comment on column ledger.entries.row_id is 'The primary key without the tenant; a JSON array where it has several columns.';
--- comment on column ledger.entries.address is 'From X-Forwarded-For: what the edge saw, or what a client that went past it claims.';
--- select tenancy.protect('ledger.entries', partitions => 16, ledger => false);
---
--- -- This index does not lead with the tenant: the dispatcher reads a slot's tenants together, in order.
--- create index entries_dispatch_idx on ledger.entries (slot, position);
---
--- -- Nor does this one: what transactions have committed since a snapshot, of whichever tenant (ledger.changes_after).
--- create index entries_follow_idx on ledger.entries (transaction_id);
--= -- One sequence for all tenants of this server: a tenant's order is its own positions, and a tenant that moves to another
--= -- server takes its positions along.
--= create sequence ledger.positions as bigint cache 1;
--=
--= create function ledger.slot(tenant_id text)
--= returns smallint
--= language sql
--= immutable
--= security invoker
--= parallel safe
--= return (pg_catalog.hashtextextended(tenant_id, 0) & 15)::smallint;
--= comment on function ledger.slot(text) is 'Which of the 16 dispatch slots a tenant''s entries go through.';
--=
--= create table ledger.entries (
--=   tenant_id tenancy.tenant_id not null,
--=   position bigint not null default nextval('ledger.positions'),
--=   slot smallint not null generated always as (ledger.slot(tenant_id)) stored,
--=   transaction_id xid8 not null default pg_current_xact_id(),
--=   occurred_at timestamptz not null default clock_timestamp(),
--=   table_name text collate "C" not null,
--=   operation text collate "C" not null,
--=   row_id text not null,
--=   changed text[],
--=   old jsonb,
--=   new jsonb,
--=   subject text,
--=   role text collate "C",
--=   token_id text collate "C",
--=   address inet,
--=   user_agent text,
--=   request_id text,
--=   trace_id text collate "C",
--=   constraint entries_pkey primary key (tenant_id, position),
--=   constraint entries_operation_known check (operation in ('insert', 'update', 'delete'))
--= ) partition by hash (tenant_id);
--= create index entries_row_idx on ledger.entries (tenant_id, table_name, row_id, position);
--= comment on table ledger.entries is 'Every change of tenant data: who, what, when, where, before and after. Append-only for everyone.';
--= comment on column ledger.entries.position is 'Order within the tenant: drawn while the changed rows were locked.';
--= comment on column ledger.entries.row_id is 'The primary key without the tenant; a JSON array where it has several columns.';
--= comment on column ledger.entries.address is 'From X-Forwarded-For: what the edge saw, or what a client that went past it claims.';
--= select tenancy.protect('ledger.entries', partitions => 16, ledger => false);
--=
--= -- The one index that does not lead with the tenant: the dispatcher reads a slot's tenants together, in order.
--= create index entries_dispatch_idx on ledger.entries (slot, position);

--@ function auth.enter(text)
set role rowhouse_sealer;
create or replace function auth.enter(token text)
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
end
$$;
comment on function auth.enter(text) is
  'Seals this transaction for the token''s tenant; then take the token''s role with `set local role`. Pass the token as a bind '
  'parameter. Raises token_invalid, token_expired, tenant_unknown, tenant_suspended, membership_required, context_sealed.';
grant execute on function auth.enter(text) to
  authenticator, rowhouse_worker, rowhouse_edge, rowhouse_migrator, rowhouse_owner;
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
  headers json := nullif(current_setting('request.headers', true), '')::json;
  token text := auth.current_token();
  call_stack text;
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
  if headers ->> 'x-tenant-id' is distinct from null
     and headers ->> 'x-tenant-id' is distinct from split_part(request.seal(), ' ', 1) then
    perform request.raise_error('tenant_mismatch', 'X-Tenant-Id names another tenant');
  end if;
  -- The planner's estimate is made from statistics over every tenant's rows: it would tell how common a value is next door.
  if headers ->> 'prefer' ~* 'count\s*=\s*(planned|estimated)' then
    perform request.raise_error('count_inexact', 'estimates are drawn from all tenants'' rows', 'use Prefer: count=exact');
  end if;
end
$$;
comment on function auth.pre_request() is
  'The gate before every call of PostgREST. Raises what auth.enter() raises, token_required, tenant_mismatch, count_inexact.';
grant execute on function auth.pre_request() to anon, tenant_user, operator;
set role rowhouse_owner;

--@ function auth.pre_config()
set role rowhouse_sealer;
create or replace function auth.pre_config()
returns void
language plpgsql
volatile
security definer -- reads the keys for PostgREST, which may not
set search_path = ''
parallel unsafe
as $$
begin
  perform set_config('pgrst.jwt_secret', (
    select json_build_object('keys', coalesce(json_agg(json_build_object('kty', 'oct', 'alg', 'HS256', 'kid', kid,
      'k', auth.encode_base64url(api_secret)) order by kid), '[]'))::text
    from auth.signing_keys where status <> 'retired'), true);
end
$$;
comment on function auth.pre_config() is
  'Gives PostgREST the JWKS that it checks tokens with (RFC 7517): keys derived one way from the real ones.';
grant execute on function auth.pre_config() to authenticator;
set role rowhouse_owner;

--@ function auth.issue_token(text, text, text, interval, text)
create or replace function auth.issue_token(
  tenant_id text, subject text, tenant_role text, ttl interval default '1 hour', role text default 'tenant_user')
returns text
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  issued_at bigint := extract(epoch from now());
begin
  if ttl <= '0'::interval or ttl > '31 days'::interval then
    perform request.raise_error('token_invalid', 'a token lives for more than nothing and at most 31 days');
  elsif role = 'tenant_user' and tenancy.role_rank(tenant_role) is null then
    perform request.raise_error('token_invalid', 'the tenant role is not viewer, member, admin or owner');
  end if;
  return auth.sign_claims(jsonb_strip_nulls(jsonb_build_object(
    'iss', 'rowhouse', 'aud', 'rowhouse', 'sub', subject, 'role', role, 'tenant_id', tenant_id, 'tenant_role', tenant_role,
    'scope', '', 'iat', issued_at, 'exp', issued_at + extract(epoch from ttl)::bigint, 'jti', gen_random_uuid())));
end
$$;
comment on function auth.issue_token(text, text, text, interval, text) is
  'A sealed token. tenant_role: the most that it may carry; the gate still asks for membership. An operator''s has no tenant. '
  'Raises token_invalid.';

--@ function tenancy.explain_access(text, text, jsonb, jsonb)
create or replace function tenancy.explain_access(method text, relation text, row_key jsonb default null, body jsonb default null)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  path constant text[] := regexp_match(relation, '^/?(?:(v1|admin)[./])?(rpc/)?([A-Za-z_][A-Za-z0-9_]{0,62})$');
  schema_name constant text := coalesce(path[1], 'v1');
  shown_as constant text := schema_name || '.' || path[3];
  verbs constant text[] := case upper(method) when 'GET' then '{select}' when 'HEAD' then '{select}' when 'POST' then '{insert}'
    when 'PUT' then '{insert,update}' when 'PATCH' then '{update}' when 'DELETE' then '{delete}' end;
  asked constant jsonb := jsonb_build_object('method', upper(method), 'relation', coalesce(shown_as, relation), 'verb', verbs[1],
    'row_key', row_key, 'body', body);
  context jsonb := jsonb_build_object('tenant_id', nullif(split_part(request.seal(), ' ', 1), '_'), 'subject', request.subject(),
    'role', request.role(), 'tenant_role', request.tenant_role());
  place constant text := case request.role() when 'operator' then 'the directory' else 'your tenant' end;
  target oid;
  unknown_columns text;
  present jsonb;
  explained jsonb := '{"grants": [], "policies": [], "row": null}';
  one jsonb;
  verb text;
  refusal text;
begin
  if request.role() = 'tenant_user' then
    context := context || (select jsonb_build_object('membership', role) from tenancy.members
      where tenant_id = request.tenant_id() and user_id = request.subject());
  end if;
  select c.oid into target from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = relnamespace
  where nspname = schema_name and relname = path[3] and relkind in ('r', 'p', 'v', 'm', 'f');
  select string_agg(name, ', ' order by name) into unknown_columns
  from (select jsonb_object_keys(case jsonb_typeof(row_key) when 'object' then row_key end)
    union select jsonb_object_keys(case jsonb_typeof(body) when 'object' then body end)) as named (name)
  where not exists (select from pg_catalog.pg_attribute where attrelid = target and attname = name and attnum > 0 and not attisdropped);
  refusal := case
    when verbs is null then 'the method is not GET, HEAD, POST, PUT, PATCH or DELETE'
    when jsonb_typeof(row_key) <> 'object' or jsonb_typeof(body) <> 'object' then 'row key and body are JSON objects: columns and values'
    when path is null then 'the relation is not one name, such as jobs'
    when path[2] is not null then null
    when target is null then format('the API has no relation %s', shown_as)
    when not has_schema_privilege(schema_name, 'usage') then format('the role %s does not reach the %s API', request.role(), schema_name)
    when unknown_columns is not null then format('%s has no column %s', shown_as, unknown_columns)
  end;
  if refusal is not null then
    return explained || jsonb_build_object('request', asked, 'context', context, 'allowed', false, 'summary', refusal,
      'next', case when target is not null and unknown_columns is null
        then 'v1 is for members'' tokens, admin for operators''' else 'look the names up in the API documentation' end);
  elsif path[2] is not null then
    return explained || jsonb_build_object('request', asked, 'context', context) || tenancy.explain_function(schema_name, path[3]);
  end if;
  if verbs <> '{insert}' then
    present := tenancy.explain_row(target, row_key);
    -- The same words whatever another tenant has: only what the caller can read was looked at.
    explained := explained || jsonb_build_object('row', jsonb_build_object('found', present is not null, 'sentence', case
      when present is null and row_key is null then format('%s has no row here', place)
      when present is null then format('no such row in %s', place)
      when row_key is null then format('%s has rows here', place)
      else format('the row is in %s and visible', place) end));
  end if;
  foreach verb in array verbs loop
    continue when verb = 'update' and verbs[1] = 'insert' and present is null; -- PUT of a new row
    one := tenancy.explain_verb(target, shown_as, verb, case when row_key is not null then present end, coalesce(body, '{}'));
    explained := explained || jsonb_build_object(
      'grants', (explained -> 'grants') || (one -> 'grants'), 'policies', (explained -> 'policies') || (one -> 'policies'),
      'decided_by_function', one -> 'decided_by_function');
  end loop;
  return (explained - 'decided_by_function') || jsonb_build_object('request', asked, 'context', context)
    || tenancy.explain_refusal(asked, context, explained);
end
$$;
comment on function tenancy.explain_access(text, text, jsonb, jsonb) is
  'Why a request of the API is allowed or refused, for the sealed caller: grants, policies, and whether they pass. row_key: columns '
  'and values that name a row; body: what would be written. Looks at nothing that the caller could not read, and writes nothing.';
