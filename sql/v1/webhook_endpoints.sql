--@ view v1.webhook_endpoints
create view v1.webhook_endpoints with (security_invoker = true) as
  select e.tenant_id, e.id, e.url, e.event_types, e.ordering, e.rate, e.headers, e.projection, e.signing, e.timeout_ms, e.enabled,
    e.description, e.disabled_reason, e.disabled_at, e.created_by, e.created_at, e.updated_at,
    (select coalesce(array_agg(s.public_key order by s.created_at desc), '{}') from webhook.endpoint_secrets as s
     where s.tenant_id = e.tenant_id and s.endpoint_id = e.id and s.public_key is not null
       and (s.expires_at is null or s.expires_at > now())) as public_keys,
    (select jsonb_build_object('circuit', s.circuit, 'paused_until', s.paused_until, 'failing_since', s.failing_since,
       'failures', s.failures, 'last_error', s.last_error)
     from webhook.endpoint_states as s where s.tenant_id = e.tenant_id and s.endpoint_id = e.id) as health
  from webhook.endpoints as e;
comment on view v1.webhook_endpoints is $$Webhook endpoints

Where your tenant's events are sent. For admins and owners. Make one with create_webhook_endpoint, which shows its secret once.$$;
comment on column v1.webhook_endpoints.url is 'https, without credentials or a fragment. Private and local addresses are refused when it is connected to.';
comment on column v1.webhook_endpoints.event_types is 'Types of events; * stands for any characters: app.jobs.*';
comment on column v1.webhook_endpoints.ordering is
  'none: as soon as possible; subject: the events of one subject strictly one after the other; endpoint: all of them.';
comment on column v1.webhook_endpoints.rate is 'Deliveries a second at the most; no limit of its own where null.';
comment on column v1.webhook_endpoints.headers is
  'Sent with each delivery. Values are stored encrypted and shown as null; a null that is sent back leaves the value as it is.';
comment on column v1.webhook_endpoints.projection is 'Which parts of an event''s data are sent, such as changed or new.status; all where null.';
comment on column v1.webhook_endpoints.signing is 'v1: HMAC-SHA256 with the shared secret; v1a: ed25519, verified with public_keys. '
  'Where v1 is added later, rotate_webhook_secret shows a secret.';
comment on column v1.webhook_endpoints.timeout_ms is 'How long the receiver may take for its answer.';
comment on column v1.webhook_endpoints.enabled is 'Set it to true to send again; what was held is sent then.';
comment on column v1.webhook_endpoints.disabled_reason is 'by_request; gone: it answered 410; failing: nothing but failures for days.';
comment on column v1.webhook_endpoints.public_keys is 'The newest first. They appear a moment after an endpoint that signs with v1a is made.';
comment on column v1.webhook_endpoints.health is
  'circuit: closed, open (nothing is sent until paused_until), or half_open (one delivery is tried); since when it has failed, and how often.';
grant select, delete, update (url, event_types, ordering, rate, headers, projection, signing, timeout_ms, enabled, description)
  on v1.webhook_endpoints to tenant_user;
grant select, delete, update (url, event_types, ordering, rate, headers, projection, signing, timeout_ms, enabled, description)
  on webhook.endpoints to tenant_user;

--@ data v1.webhook_endpoints
select ledger.add_event_source('webhook.endpoints', 'v1.webhook_endpoints', 'admin');

--@ function webhook.require_endpoint(uuid)
create function webhook.require_endpoint(wanted uuid)
returns webhook.endpoints
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  found_endpoint webhook.endpoints;
begin
  if not request.has_tenant_role('admin') then
    perform request.raise_error('role_insufficient', 'only an admin or owner works with webhook endpoints', 'ask an admin of your tenant');
  end if;
  select * into found_endpoint from webhook.endpoints where tenant_id = request.tenant_id() and id = wanted;
  if not found then
    perform request.raise_error('webhook_endpoint_unknown');
  end if;
  return found_endpoint;
end
$$;
comment on function webhook.require_endpoint(uuid) is
  'The sealed tenant''s endpoint, for an admin. Raises role_insufficient, webhook_endpoint_unknown.';

--@ function v1.create_webhook_endpoint(text,text[],text,integer,jsonb,text[],text[],integer,boolean,text)
create function v1.create_webhook_endpoint(
  url text, event_types text[] default '{*}', ordering text default 'none', rate integer default null, headers jsonb default '{}',
  projection text[] default null, signing text[] default '{v1}', timeout_ms integer default 15000, enabled boolean default true,
  description text default '')
returns json
language plpgsql
volatile
security definer -- clients hold no grant on secrets
set search_path = ''
parallel unsafe
as $$
declare
  made webhook.endpoints;
  endpoint_id uuid := uuidv7();
  shown text;
  broken text;
  missing text;
begin
  if not request.has_tenant_role('admin') then
    perform request.raise_error('role_insufficient', 'only an admin or owner makes webhook endpoints', 'ask an admin of your tenant');
  end if;
  perform webhook.check_url(url);
  shown := webhook.add_missing_secrets(endpoint_id, signing);
  insert into webhook.endpoints (id, url, event_types, ordering, rate, headers, projection, signing, timeout_ms, enabled, description,
    disabled_reason, disabled_at)
  values (endpoint_id, create_webhook_endpoint.url, create_webhook_endpoint.event_types, create_webhook_endpoint.ordering,
    create_webhook_endpoint.rate, webhook.keep_headers(endpoint_id, create_webhook_endpoint.headers),
    create_webhook_endpoint.projection, create_webhook_endpoint.signing, create_webhook_endpoint.timeout_ms,
    create_webhook_endpoint.enabled, create_webhook_endpoint.description,
    case when not create_webhook_endpoint.enabled then 'by_request' end, case when not create_webhook_endpoint.enabled then now() end)
  returning * into made;
  insert into webhook.endpoint_states (tenant_id, endpoint_id) values (made.tenant_id, made.id);
  -- Nobody on the way keeps the secret, the edge's Idempotency-Key included.
  set local response.headers = '[{"Cache-Control": "no-store"}]';
  return json_build_object('id', made.id, 'secret', shown, 'url', made.url, 'event_types', made.event_types, 'ordering', made.ordering,
    'rate', made.rate, 'headers', made.headers, 'projection', made.projection, 'signing', made.signing, 'timeout_ms', made.timeout_ms,
    'enabled', made.enabled, 'description', made.description, 'created_by', made.created_by, 'created_at', made.created_at);
exception
  when check_violation or not_null_violation then
    get stacked diagnostics broken = constraint_name, missing = column_name;
    perform webhook.refuse_endpoint(broken, missing);
end
$$;
comment on function v1.create_webhook_endpoint(text, text[], text, integer, jsonb, text[], text[], integer, boolean, text) is
$$Make a webhook endpoint

For admins and owners. The answer has the secret (whsec_…), this once. Where it signs with v1a, its public key (whpk_…) appears in
webhook_endpoints a moment later. What each argument means is said there.$$;
grant execute on function v1.create_webhook_endpoint(text, text[], text, integer, jsonb, text[], text[], integer, boolean, text) to tenant_user;

--@ function v1.rotate_webhook_secret(uuid,interval)
create function v1.rotate_webhook_secret(id uuid, overlap interval default '24 hours')
returns json
language plpgsql
volatile
security definer -- clients hold no grant on secrets
set search_path = ''
parallel unsafe
as $$
declare
  endpoint webhook.endpoints := webhook.require_endpoint(rotate_webhook_secret.id);
  until timestamptz := clock_timestamp() + overlap;
  shown text;
begin
  if overlap is null or overlap not between '0' and '7 days' then
    perform request.raise_error('webhook_endpoint_invalid', 'overlap is between 0 and 7 days');
  end if;
  -- Workers see another revision; and it locks: two at once would each leave a key that the other does not see.
  update webhook.endpoints set revision = revision where tenant_id = request.tenant_id() and webhook.endpoints.id = endpoint.id;
  -- Two live secrets at the most: what was rotated out before ends now.
  delete from webhook.endpoint_secrets
  where tenant_id = request.tenant_id() and endpoint_id = endpoint.id and expires_at is not null;
  update webhook.endpoint_secrets set expires_at = until
  where tenant_id = request.tenant_id() and endpoint_id = endpoint.id and kind <> 'header';
  shown := webhook.add_missing_secrets(endpoint.id, endpoint.signing);
  set local response.headers = '[{"Cache-Control": "no-store"}]';
  return json_build_object('id', endpoint.id, 'secret', shown, 'old_secret_expires_at', until);
end
$$;
comment on function v1.rotate_webhook_secret(uuid, interval) is $$Rotate the secret of a webhook endpoint

For admins and owners. The answer has the new secret, this once. Deliveries are signed with both until the overlap has passed, 24 hours by default;
0 ends the old one at once. Where the endpoint signs with v1a, public_keys changes as well.$$;
grant execute on function v1.rotate_webhook_secret(uuid, interval) to tenant_user;
