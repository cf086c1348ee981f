--@ view v1.webhook_deliveries
create view v1.webhook_deliveries with (security_invoker = true) as
  select d.tenant_id, d.endpoint_id, d.position, coalesce(d.payload ->> 'id', 'evt_' || d.position) as event_id, d.event_type, d.subject,
    case
      when d.status <> 'pending' then d.status
      when not e.enabled then 'held'
      when d.next_attempt_at = 'infinity' then 'blocked'
      when d.attempts > d.attempts_before then 'retrying'
      else 'pending'
    end as status,
    d.attempts, nullif(d.next_attempt_at, 'infinity') as next_attempt_at, d.created_at, d.attempted_at, d.dead_at, d.status_code, d.error,
    d.latency_ms, d.response
  from webhook.deliveries as d
  join webhook.endpoints as e on (e.tenant_id, e.id) = (d.tenant_id, d.endpoint_id);
comment on view v1.webhook_deliveries is $$Webhook deliveries

One for each event and endpoint, with its last attempt. For admins and owners. Settled ones are kept for 30 days.
List an endpoint's newest first: ?endpoint_id=eq.…&order=position.desc$$;
comment on column v1.webhook_deliveries.position is 'Of the event: pages are asked for by it.';
comment on column v1.webhook_deliveries.event_id is 'The webhook-id that was sent: the same in every attempt and replay.';
comment on column v1.webhook_deliveries.status is
  'pending; retrying; blocked, by an earlier one of its order; held, while the endpoint is disabled; succeeded; dead.';
comment on column v1.webhook_deliveries.error is 'Why there was no answer, where there was none: such as response_timeout, connect_failed, dns_failed '
  '(the name has no address that deliveries go to) or address_refused (the URL itself leads nowhere that they go).';
comment on column v1.webhook_deliveries.response is 'The first KiB of the answer.';
grant select on v1.webhook_deliveries to tenant_user;

--@ view v1.webhook_attempts
create view v1.webhook_attempts with (security_invoker = true) as
  select a.tenant_id, a.endpoint_id, a.position, a.attempt, case when a.succeeded then 'succeeded' else 'failed' end as status,
    a.attempted_at, a.status_code, a.error, a.latency_ms, a.response
  from webhook.attempts as a
  join webhook.endpoints as e on (e.tenant_id, e.id) = (a.tenant_id, a.endpoint_id)
  union all
  select d.tenant_id, d.endpoint_id, d.position, d.attempts, 'succeeded', d.attempted_at, d.status_code, d.error, d.latency_ms, d.response
  from webhook.deliveries as d
  join webhook.endpoints as e on (e.tenant_id, e.id) = (d.tenant_id, d.endpoint_id)
  where d.status = 'succeeded';
comment on view v1.webhook_attempts is $$Attempts of webhook deliveries

Every one: ?endpoint_id=eq.…&position=eq.…&order=attempt. For admins and owners.$$;
comment on column v1.webhook_attempts.attempt is 'Counted from 1, over replays.';
grant select on v1.webhook_attempts to tenant_user;

--@ view v1.webhook_blocked_keys
create view v1.webhook_blocked_keys with (security_invoker = true) as
  select d.tenant_id, d.endpoint_id, case when d.ordering_key <> '' then min(d.subject) end as subject, min(d.position) as position, max(d.attempts) as attempts,
    min(d.next_attempt_at) filter (where d.next_attempt_at < 'infinity') as next_attempt_at,
    count(*) filter (where d.next_attempt_at = 'infinity') as waiting
  from webhook.deliveries as d
  join webhook.endpoints as e on (e.tenant_id, e.id) = (d.tenant_id, d.endpoint_id)
  where d.ordering_key is not null and d.next_attempt_at is not null
  group by d.tenant_id, d.endpoint_id, d.ordering_key;
comment on view v1.webhook_blocked_keys is $$What holds ordered endpoints up

Subjects (null: the whole endpoint) whose earliest delivery failed and is tried again, so that later ones wait. For admins and owners.$$;
comment on column v1.webhook_blocked_keys.position is 'Of the delivery that the others wait for.';
comment on column v1.webhook_blocked_keys.waiting is 'Deliveries set aside behind it. Of a whole endpoint, none is: they stay pending.';
grant select on v1.webhook_blocked_keys to tenant_user;
