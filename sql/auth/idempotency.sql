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

--@ function auth.hold_key(text,text,text)
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

--@ function auth.keep_answer(text,text,text,integer,jsonb,bytea)
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

--@ function auth.kept_answer(text,text,text)
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
