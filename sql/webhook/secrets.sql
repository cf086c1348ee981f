--@ table webhook.senders
create table webhook.senders (
  key_id text collate "C" not null,
  public_key text not null,
  allow_http boolean not null,
  registered_at timestamptz not null default now(),
  constraint senders_pkey primary key (key_id)
);
comment on table webhook.senders is
  'The OpenPGP keys that secrets are encrypted for, newest last. The private keys are the workers'' alone.';
comment on column webhook.senders.registered_at is 'When a worker said last that it is the one to encrypt for, and another was until then.';
comment on column webhook.senders.allow_http is 'Whether the workers that hold this key deliver over plain http as well.';

--@ function webhook.register_sender(text,text,boolean)
create function webhook.register_sender(key_id text, public_key text, allow_http boolean)
returns void
language sql
volatile
security definer -- workers hold no grant on the table: they can add a key, not replace one
set search_path = ''
parallel unsafe
begin atomic
  insert into webhook.senders as s (key_id, public_key, allow_http)
  values (register_sender.key_id, register_sender.public_key, register_sender.allow_http)
  -- Who goes back to the key before wants it to be encrypted for again: nobody may hold the other one any more.
  on conflict (key_id) do update set allow_http = excluded.allow_http, registered_at = case when exists (
      select from webhook.senders as newer where newer.registered_at > s.registered_at) then clock_timestamp() else s.registered_at end
  where s.allow_http <> excluded.allow_http or exists (select from webhook.senders as newer where newer.registered_at > s.registered_at);
end;
comment on function webhook.register_sender(text, text, boolean) is
  'What a worker says when it starts: the public half of its first key, armoured, which secrets are encrypted for from now on, and whether it delivers over http.';
grant execute on function webhook.register_sender(text, text, boolean) to rowhouse_worker;

--@ table webhook.endpoint_secrets
create table webhook.endpoint_secrets (
  tenant_id tenancy.tenant_id not null,
  endpoint_id uuid not null,
  id uuid not null default uuidv7(),
  kind text collate "C" not null,
  header text collate "C",
  key_id text collate "C" not null,
  ciphertext bytea not null,
  public_key text collate "C",
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz,
  constraint endpoint_secrets_pkey primary key (tenant_id, endpoint_id, id),
  constraint endpoint_secrets_header_key unique (tenant_id, endpoint_id, header),
  constraint endpoint_secrets_endpoint_fkey foreign key (tenant_id, endpoint_id)
    references webhook.endpoints (tenant_id, id) on delete cascade deferrable initially deferred,
  constraint endpoint_secrets_kind_known check (kind in ('hmac', 'ed25519', 'header')),
  constraint endpoint_secrets_header_has_name check ((kind = 'header') = (header is not null))
) partition by hash (tenant_id);
create index endpoint_secrets_unpublished_idx on webhook.endpoint_secrets (tenant_id, id) where kind = 'ed25519' and public_key is null;
comment on table webhook.endpoint_secrets is
  'Signing keys and header values, encrypted for the workers'' key. Apart from webhook.endpoints, whose rows the ledger copies.';
comment on column webhook.endpoint_secrets.public_key is 'Of an ed25519 key, as whpk_…: derived by a worker.';
comment on column webhook.endpoint_secrets.expires_at is 'Until then a rotated key signs beside its successor.';
select tenancy.protect('webhook.endpoint_secrets', partitions => 8, ledger => false, read_role => 'admin', write_role => 'owner', client_verbs => '{}');
grant select (tenant_id, endpoint_id, id, kind, public_key, created_at, expires_at) on webhook.endpoint_secrets to tenant_user;
grant select, update (public_key), delete on webhook.endpoint_secrets to rowhouse_dispatcher;

--@ policy "The webhook functions keep the sealed tenant's secrets" on webhook.endpoint_secrets
create policy "The webhook functions keep the sealed tenant's secrets" on webhook.endpoint_secrets
  for all to rowhouse_owner
  using (tenant_id = request.tenant_id()) with check (tenant_id = request.tenant_id());

--@ policy "The dispatcher works for every tenant" on webhook.endpoint_secrets
create policy "The dispatcher works for every tenant" on webhook.endpoint_secrets
  for all to rowhouse_dispatcher using (true) with check (true);

--@ function webhook.put_away(uuid,text,text,bytea)
create function webhook.put_away(endpoint uuid, kind text, header text, plain bytea)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  sender webhook.senders;
begin
  select * into sender from webhook.senders order by registered_at desc, key_id limit 1;
  if not found then
    perform request.raise_error('webhooks_unavailable', 'no worker has registered a key to encrypt secrets for',
      'start a worker that has WEBHOOK_PRIVATE_KEY');
  end if;
  insert into webhook.endpoint_secrets as s (endpoint_id, kind, header, key_id, ciphertext)
  values (endpoint, put_away.kind, put_away.header, sender.key_id,
    extensions.pgp_pub_encrypt_bytea(plain, extensions.dearmor(sender.public_key)))
  on conflict on constraint endpoint_secrets_header_key do update set key_id = excluded.key_id, ciphertext = excluded.ciphertext;
end
$$;
comment on function webhook.put_away(uuid, text, text, bytea) is
  'Stores a secret of the sealed tenant''s so that only the workers can read it. Raises webhooks_unavailable while none has said for which key.';

--@ function webhook.add_secret(uuid,text)
create function webhook.add_secret(endpoint uuid, kind text)
returns text
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  plain bytea := extensions.gen_random_bytes(32);
begin
  perform webhook.put_away(endpoint, add_secret.kind, null, plain);
  return case kind when 'hmac' then 'whsec_' || encode(plain, 'base64') end;
end
$$;
comment on function webhook.add_secret(uuid, text) is
  'Makes a signing key. Returns it, once, where the receiver needs it: of an ed25519 key it needs the public half alone.';

--@ function webhook.add_missing_secrets(uuid,text[])
create function webhook.add_missing_secrets(endpoint uuid, signing text[])
returns text
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  missing text;
  shown text;
begin
  for missing in
    select wanted.kind
    from (values ('hmac', 'v1'), ('ed25519', 'v1a')) as wanted (kind, scheme)
    where wanted.scheme = any (signing) and not exists (
      select from webhook.endpoint_secrets
      where tenant_id = request.tenant_id() and endpoint_id = endpoint and kind = wanted.kind and expires_at is null)
  loop
    shown := coalesce(webhook.add_secret(endpoint, missing), shown);
  end loop;
  return shown;
end
$$;
comment on function webhook.add_missing_secrets(uuid, text[]) is
  'A key for each scheme that the endpoint signs with and has none for. Returns the shared secret, if one was made.';

--@ function webhook.check_url(text)
create function webhook.check_url(url text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
begin
  if url like 'http:%' and not coalesce((select allow_http from webhook.senders order by registered_at desc, key_id limit 1), false) then
    perform request.raise_error('webhook_endpoint_invalid', 'webhooks are sent over https', 'give a URL that begins with https://');
  end if;
end
$$;
comment on function webhook.check_url(text) is 'Raises webhook_endpoint_invalid for plain http, unless the workers are told to send over it.';

--@ function webhook.keep_headers(uuid,jsonb)
create function webhook.keep_headers(endpoint uuid, headers jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  given record;
  known text[] := array(select header from webhook.endpoint_secrets where tenant_id = request.tenant_id() and endpoint_id = endpoint);
  kept text[] := '{}';
begin
  if jsonb_typeof(headers) is distinct from 'object' or (select count(*) from jsonb_object_keys(headers)) > 20 then
    perform request.raise_error('webhook_endpoint_invalid', 'headers is an object of at most 20 names and values');
  end if;
  for given in select lower(key) as name, jsonb_typeof(value) as type, value #>> '{}' as value from jsonb_each(headers) loop
    if given.name !~ '^[a-z0-9!#$%&''*+.^_`|~-]{1,100}$' or given.name = any (kept) then
      perform request.raise_error('webhook_endpoint_invalid', format('%s is no name of a header, or there twice', given.name));
    elsif given.name ~ '^(webhook-|proxy-|sec-|x-forwarded-)' or given.name in ('connection', 'keep-alive', 'te', 'trailer',
      'transfer-encoding', 'upgrade', 'host', 'content-length', 'content-encoding', 'expect', 'date', 'forwarded',
      'http2-settings', 'traceparent') then
      perform request.raise_error('webhook_endpoint_invalid', format('%s is not yours to set', given.name),
        'hop-by-hop fields, those that describe body and connection, and webhook-* are set by the sender');
    elsif given.type = 'null' and given.name = any (known) then
      null; -- stays as it is
    elsif given.type <> 'string' or given.value !~ '^[!-~]([\t -~]*[!-~])?$' or length(given.value) > 4096 then
      perform request.raise_error('webhook_endpoint_invalid', format('the value of %s is not 1 to 4096 visible ASCII characters', given.name));
    else
      perform webhook.put_away(endpoint, 'header', given.name, convert_to(given.value, 'UTF8'));
    end if;
    kept := kept || given.name;
  end loop;
  delete from webhook.endpoint_secrets
  where tenant_id = request.tenant_id() and endpoint_id = endpoint and kind = 'header' and header <> all (kept);
  return coalesce((select jsonb_object_agg(name, null) from unnest(kept) as name), '{}');
end
$$;
comment on function webhook.keep_headers(uuid, jsonb) is
  'Puts the values of headers away, and returns their names with null for each value. Raises webhook_endpoint_invalid.';
