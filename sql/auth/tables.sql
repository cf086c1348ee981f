--@ table auth.signing_keys
create table auth.signing_keys (
  kid text collate "C" not null default encode(extensions.gen_random_bytes(9), 'hex'),
  secret bytea not null default extensions.gen_random_bytes(32),
  -- What PostgREST gets. Whoever holds the authenticator's password can read it through the pre-config, so it is derived one
  -- way from the secret and proves nothing to the gate, which checks the seal made with the secret itself.
  api_secret bytea not null generated always as (extensions.hmac('postgrest'::bytea, secret, 'sha256')) stored,
  status text collate "C" not null default 'active',
  created_at timestamptz not null default now(),
  retired_at timestamptz,
  constraint signing_keys_pkey primary key (kid),
  constraint signing_keys_kid_form check (kid ~ '^[A-Za-z0-9_-]{1,64}$'),
  constraint signing_keys_secret_length check (octet_length(secret) >= 32),
  constraint signing_keys_status_known check (status in ('active', 'accepted', 'retired')),
  constraint signing_keys_retired_at check ((status = 'retired') = (retired_at is not null))
);
create unique index signing_keys_one_active on auth.signing_keys (status) where status = 'active';
comment on table auth.signing_keys is
  'Keys of tenant tokens. `active` signs, `active` and `accepted` verify, `retired` is refused. Secrets never leave the database.';
alter table auth.signing_keys enable row level security;
alter table auth.signing_keys force row level security;
grant select, insert, update on auth.signing_keys to rowhouse_sealer;

--@ policy "The sealer keeps the keys" on auth.signing_keys
create policy "The sealer keeps the keys" on auth.signing_keys
  for all to rowhouse_sealer using (true) with check (true);

--@ data auth.signing_keys
set role rowhouse_sealer;
insert into auth.signing_keys default values;
set role rowhouse_owner;

--@ table auth.operators
create table auth.operators (
  subject text not null,
  created_at timestamptz not null default now(),
  constraint operators_pkey primary key (subject),
  constraint operators_subject_length check (length(subject) between 1 and 200)
);
comment on table auth.operators is 'Who may hold an operator token; a row removed ends its tokens on the next request.';
grant select on auth.operators to rowhouse_sealer;
