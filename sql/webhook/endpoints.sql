--@ function webhook.like_patterns(text[])
create function webhook.like_patterns(event_types text[])
returns text[]
language sql
immutable
security invoker
parallel safe
return array(select replace(replace(pattern, '_', '\_'), '*', '%') from unnest(event_types) as pattern);
comment on function webhook.like_patterns(text[]) is 'Event types with `*` for any characters, as patterns of LIKE.';
grant execute on function webhook.like_patterns(text[]) to tenant_user, rowhouse_dispatcher;

--@ function webhook.inner_wildcards(text[])
create function webhook.inner_wildcards(event_types text[])
returns integer
language sql
immutable
security invoker
parallel safe
return cardinality(array(select pattern from unnest(event_types) as pattern where pattern ~ '[*].'));
comment on function webhook.inner_wildcards(text[]) is
  'How many of the types have a `*` elsewhere than at the end. To compare one with a type can take as many steps as both have characters, multiplied.';
grant execute on function webhook.inner_wildcards(text[]) to tenant_user, rowhouse_dispatcher;

--@ table webhook.endpoints
create table webhook.endpoints (
  tenant_id tenancy.tenant_id not null,
  id uuid not null default uuidv7(),
  url text not null,
  event_types text[] not null default '{*}',
  type_patterns text[] not null generated always as (webhook.like_patterns(event_types)) stored,
  ordering text collate "C" not null default 'none',
  rate integer,
  headers jsonb not null default '{}',
  projection text[],
  signing text[] not null default '{v1}',
  timeout_ms integer not null default 15000,
  enabled boolean not null default true,
  description text not null default '',
  disabled_reason text collate "C",
  disabled_at timestamptz,
  revision bigint not null default 1,
  created_by text default request.subject(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint endpoints_pkey primary key (tenant_id, id),
  constraint endpoints_tenant_fkey foreign key (tenant_id) references tenancy.tenants (id) on delete cascade,
  constraint endpoints_url_form check (
    url ~ '^https?://([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][!-~]*)?$' and url !~ '#' and length(url) <= 2048),
  constraint endpoints_event_types_form check (
    cardinality(event_types) between 1 and 100 and array_ndims(event_types) = 1
    and array_to_string(event_types, ',', '?') ~ '^[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*(,[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*)*$'
    and length(array_to_string(event_types, ',', '?')) <= 10000),
  -- Everybody's dispatch waits for the comparisons.
  constraint endpoints_event_types_wildcards check (webhook.inner_wildcards(event_types) <= 10),
  constraint endpoints_ordering_known check (ordering in ('none', 'endpoint', 'subject')),
  constraint endpoints_rate_range check (rate between 1 and 10000),
  constraint endpoints_headers_form check (jsonb_typeof(headers) = 'object'),
  constraint endpoints_projection_form check (
    cardinality(projection) between 0 and 100 and coalesce(array_ndims(projection), 1) = 1
    and array_to_string(projection, ',', '?') ~ '^([A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?(,[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?)*)?$'),
  constraint endpoints_signing_known check (
    signing <@ '{v1,v1a}' and cardinality(signing) between 1 and 2 and array_ndims(signing) = 1),
  constraint endpoints_timeout_range check (timeout_ms between 1000 and 30000),
  constraint endpoints_description_length check (length(description) <= 1000),
  constraint endpoints_disabled_says_why check (enabled = (disabled_reason is null) and enabled = (disabled_at is null))
) partition by hash (tenant_id);
comment on table webhook.endpoints is $$Webhook endpoints

Where the tenant's events are sent. For admins and owners. Make one with create_webhook_endpoint, which shows its secret once.$$;
comment on column webhook.endpoints.url is $$https, without credentials or a fragment. Private and local addresses are refused when it is connected to.
@sample "https://hooks.invalid/prove"$$;
comment on column webhook.endpoints.event_types is $$Types of events; * stands for any characters.
@sample ["app.jobs.*"]$$;
comment on column webhook.endpoints.ordering is
  'none: as soon as possible; subject: the events of one subject strictly one after the other; endpoint: all of them.';
comment on column webhook.endpoints.rate is 'Deliveries a second at the most; no limit of its own where null.';
comment on column webhook.endpoints.headers is
  'Sent with each delivery. Values are stored encrypted and shown as null; a null that is sent back leaves the value as it is.';
comment on column webhook.endpoints.projection is $$Which parts of an event's data are sent; all where null.
@sample ["changed", "new.status"]$$;
comment on column webhook.endpoints.signing is $$v1: HMAC-SHA256 with the shared secret; v1a: ed25519, verified with public_keys.
@sample ["v1"]$$;
comment on column webhook.endpoints.timeout_ms is 'How long the receiver may take for its answer.';
comment on column webhook.endpoints.enabled is '@sample false';
comment on column webhook.endpoints.disabled_at is '@sample "2999-01-01T00:00:00Z"';
comment on column webhook.endpoints.disabled_reason is
  'by_request; gone: it answered 410; failing: nothing but failures for days. Set enabled to true to send again, what was held included.';
create index endpoints_enabled_idx on webhook.endpoints (tenant_id) where enabled;
select tenancy.protect('webhook.endpoints', partitions => 8, read_role => 'admin', write_role => 'admin', client_verbs => '{}');

--@ policy "The webhook functions keep the sealed tenant's endpoints" on webhook.endpoints
create policy "The webhook functions keep the sealed tenant's endpoints" on webhook.endpoints
  for all to rowhouse_owner
  using (tenant_id = request.tenant_id()) with check (tenant_id = request.tenant_id());

--@ policy "The dispatcher works for every tenant" on webhook.endpoints
create policy "The dispatcher works for every tenant" on webhook.endpoints
  for all to rowhouse_dispatcher using (true) with check (true);
grant select, update (enabled, disabled_reason, disabled_at) on webhook.endpoints to rowhouse_dispatcher;

--@ table webhook.endpoint_states
create table webhook.endpoint_states (
  tenant_id tenancy.tenant_id not null,
  endpoint_id uuid not null,
  watermark bigint not null default 0,
  generation bigint not null default 1,
  circuit text collate "C" not null default 'closed',
  opened integer not null default 0,
  paused_until timestamptz,
  failing_since timestamptz,
  failures bigint not null default 0,
  last_error text,
  constraint endpoint_states_pkey primary key (tenant_id, endpoint_id),
  constraint endpoint_states_endpoint_fkey foreign key (tenant_id, endpoint_id)
    references webhook.endpoints (tenant_id, id) on delete cascade,
  constraint endpoint_states_circuit_known check (circuit in ('closed', 'open', 'half_open'))
) partition by hash (tenant_id);
comment on table webhook.endpoint_states is
  'What workers keep of an endpoint beyond their leases. While nothing fails, written once a second at the most: a held snapshot must not bloat it.';
comment on column webhook.endpoint_states.watermark is 'No delivery up to here waits for its first attempt.';
comment on column webhook.endpoint_states.generation is 'Counts how often the watermark was lowered or the circuit reset, so that a worker does not undo it.';
comment on column webhook.endpoint_states.opened is 'How often the circuit has opened since the last success.';
comment on column webhook.endpoint_states.failing_since is 'When the first attempt failed since the last one that succeeded.';
comment on column webhook.endpoint_states.failures is 'Attempts that have failed since then.';
select tenancy.protect('webhook.endpoint_states', partitions => 8, ledger => false, read_role => 'admin', write_role => 'owner', client_verbs => '{}');
grant select on webhook.endpoint_states to tenant_user;
grant select, insert, update on webhook.endpoint_states to rowhouse_dispatcher;

--@ policy "The webhook functions keep the sealed tenant's states" on webhook.endpoint_states
create policy "The webhook functions keep the sealed tenant's states" on webhook.endpoint_states
  for all to rowhouse_owner
  using (tenant_id = request.tenant_id()) with check (tenant_id = request.tenant_id());

--@ policy "The dispatcher works for every tenant" on webhook.endpoint_states
create policy "The dispatcher works for every tenant" on webhook.endpoint_states
  for all to rowhouse_dispatcher using (true) with check (true);

--@ function webhook.check_quota()
create function webhook.check_quota()
returns trigger
language plpgsql
volatile
security invoker -- rows are added by v1.create_webhook_endpoint() alone, whose owner reads tenants and plans
set search_path = ''
parallel unsafe
as $$
declare
  added record;
  plan_limit integer;
  used integer;
begin
  for added in select tenant_id, count(*) as requested from new_rows group by tenant_id order by tenant_id loop
    -- Two insertions at once would each count without the other.
    perform pg_advisory_xact_lock((21079::bigint << 48) | (1::bigint << 47) | (hashtextextended(added.tenant_id, 0) & ((1::bigint << 47) - 1)));
    select webhook_endpoints into plan_limit
    from tenancy.tenants join tenancy.plans using (tier) where id = added.tenant_id;
    select count(*) into used from webhook.endpoints where tenant_id = added.tenant_id;
    if used > plan_limit then
      perform request.raise_error('quota_exceeded', jsonb_build_object('resource', 'webhook_endpoints', 'limit', plan_limit,
        'used', used - added.requested, 'requested', added.requested)::text,
        'delete an endpoint, or ask the operator for another plan');
    end if;
  end loop;
  return null;
end
$$;
comment on function webhook.check_quota() is 'Statement trigger: how many endpoints the tenant''s plan allows. Raises quota_exceeded.';

--@ trigger check_quota on webhook.endpoints
create trigger check_quota after insert on webhook.endpoints
  referencing new table as new_rows for each statement execute function webhook.check_quota();

--@ grants webhook.dispatcher
grant usage on schema request to rowhouse_dispatcher;
grant execute on function request.raise_error(text, text, text) to rowhouse_dispatcher;
grant select on tenancy.plans to rowhouse_dispatcher;
