--@ grants webhook.keys
grant select (key_id, registered_at) on webhook.senders to rowhouse_dispatcher;
grant update (key_id, ciphertext) on webhook.endpoint_secrets to rowhouse_dispatcher;

--@ function webhook.outdated_secrets(text,text,uuid,uuid)
set role rowhouse_dispatcher;
create function webhook.outdated_secrets(for_key text, after_tenant text, after_endpoint uuid, after_id uuid)
returns table (tenant_id text, endpoint_id uuid, id uuid, key_id text, ciphertext bytea)
language sql
volatile -- it locks
security definer -- the secrets of every tenant, which only a worker can open
set search_path = ''
parallel unsafe
begin atomic
  select s.tenant_id::text, s.endpoint_id, s.id, s.key_id, s.ciphertext
  from webhook.endpoint_secrets as s
  -- Never away from the newest: workers that have another key first would undo what the others do, for ever.
  where for_key = (select newest.key_id from webhook.senders as newest order by newest.registered_at desc, newest.key_id limit 1)
    and s.key_id <> for_key and (s.tenant_id, s.endpoint_id, s.id) > (after_tenant, after_endpoint, after_id)
  order by s.tenant_id, s.endpoint_id, s.id
  limit 50
  for update skip locked;
end;
comment on function webhook.outdated_secrets(text, text, uuid, uuid) is
  'The next 50 secrets that are encrypted for an older key than for_key, if that is the newest, locked for this transaction; none that another worker has locked.';
grant execute on function webhook.outdated_secrets(text, text, uuid, uuid) to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.rewrap_secret(text,uuid,uuid,text,bytea)
set role rowhouse_dispatcher;
create function webhook.rewrap_secret(tenant text, endpoint uuid, secret_id uuid, for_key text, rewrapped bytea)
returns void
language sql
volatile
security definer -- as webhook.outdated_secrets()
set search_path = ''
parallel unsafe
begin atomic
  update webhook.endpoint_secrets as s set key_id = for_key, ciphertext = rewrapped
  where s.tenant_id = tenant and s.endpoint_id = endpoint and s.id = secret_id and s.key_id <> for_key
    and for_key = (select newest.key_id from webhook.senders as newest order by newest.registered_at desc, newest.key_id limit 1);
end;
comment on function webhook.rewrap_secret(text, uuid, uuid, text, bytea) is
  'Stores a secret of webhook.outdated_secrets() as it is encrypted for the newest key. What it says stays the same.';
grant execute on function webhook.rewrap_secret(text, uuid, uuid, text, bytea) to rowhouse_worker;
set role rowhouse_owner;

--@ function webhook.key_usage()
set role rowhouse_dispatcher;
create function webhook.key_usage()
returns table (key_id text, registered_at timestamptz, newest boolean, secrets bigint)
language sql
stable
security definer -- counts what is every tenant's, and shows none of it
set search_path = ''
parallel unsafe
begin atomic
  select k.key_id, k.registered_at, k.key_id = first_value(k.key_id) over (order by k.registered_at desc, k.key_id),
    (select count(*) from webhook.endpoint_secrets as s where s.key_id = k.key_id)
  from webhook.senders as k
  order by k.registered_at desc, k.key_id;
end;
comment on function webhook.key_usage() is
  'The keys that workers have registered, newest first, and how many secrets are encrypted for each: none any more, and nobody needs its private half.';
grant execute on function webhook.key_usage() to rowhouse_owner;
set role rowhouse_owner;
