--@ function v1.test_webhook_endpoint(uuid,text)
create function v1.test_webhook_endpoint(id uuid, type text default 'webhook.test')
returns json
language plpgsql
volatile
security definer -- clients hold no grant to write deliveries
set search_path = ''
parallel unsafe
as $$
declare
  endpoint webhook.endpoints := webhook.require_endpoint(test_webhook_endpoint.id);
  sent_position bigint;
begin
  if type is null or type !~ '^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$' or length(type) > 200 then
    perform request.raise_error('webhook_endpoint_invalid', 'that is no type of event', 'leave it out, or give one such as order.paid');
  end if;
  sent_position := webhook.send_test(endpoint.tenant_id, endpoint.id, type);
  return json_build_object('endpoint_id', endpoint.id, 'position', sent_position, 'event_id', 'test_' || sent_position);
end
$$;
comment on function v1.test_webhook_endpoint(uuid, text) is $$Send a test to a webhook endpoint

For admins and owners. An event with data {"test": true}, tried once, outside of any order. What came of it is in webhook_deliveries.$$;
grant execute on function v1.test_webhook_endpoint(uuid, text) to tenant_user;

--@ function v1.replay_webhook_deliveries(uuid,text,text,timestamptz,timestamptz,timestamptz,boolean)
create function v1.replay_webhook_deliveries(
  id uuid, from_position text default null, to_position text default null, from_time timestamptz default null,
  to_time timestamptz default null, failed_since timestamptz default null, dry_run boolean default false)
returns json
language plpgsql
volatile
security definer -- clients hold no grant to write deliveries
set search_path = ''
parallel unsafe
as $$
declare
  endpoint webhook.endpoints := webhook.require_endpoint(replay_webhook_deliveries.id);
  replayed bigint;
begin
  if num_nonnulls(from_position, to_position, from_time, to_time, failed_since) = 0 then
    perform request.raise_error('webhook_replay_invalid', 'nothing says which events', 'give positions, times, or failed_since');
  end if;
  replayed := webhook.replay(endpoint.tenant_id, endpoint.id, coalesce(webhook.event_position(from_position, 'from_position'), 0),
    coalesce(webhook.event_position(to_position, 'to_position'), 9223372036854775807), dry_run,
    failed_since, coalesce(from_time, '-infinity'), coalesce(to_time, 'infinity'));
  return json_build_object('endpoint_id', endpoint.id, 'events', replayed, 'dry_run', dry_run);
end
$$;
comment on function v1.replay_webhook_deliveries(uuid, text, text, timestamptz, timestamptz, timestamptz, boolean) is
$$Replay deliveries

For admins and owners. Events of a range of positions (17, or the id, evt_17) or times that the endpoint asks for are sent again, 100 a second, or of one
order one after the other, also those from before it was made or from while it was disabled; with failed_since, only the dead ones since then. They keep
their webhook-id. dry_run: how many it would be.$$;
grant execute on function v1.replay_webhook_deliveries(uuid, text, text, timestamptz, timestamptz, timestamptz, boolean) to tenant_user;

--@ function v1.redeliver_webhook(uuid,text)
create function v1.redeliver_webhook(id uuid, "position" text)
returns json
language plpgsql
volatile
security definer -- clients hold no grant to write deliveries
set search_path = ''
parallel unsafe
as $$
declare
  endpoint webhook.endpoints := webhook.require_endpoint(redeliver_webhook.id);
  of_event bigint := webhook.event_position(position, 'position');
begin
  if webhook.replay(endpoint.tenant_id, endpoint.id, of_event, of_event) = 0 then
    perform request.raise_error('webhook_delivery_unknown', 'the endpoint asks for no event at this position');
  end if;
  return json_build_object('endpoint_id', endpoint.id, 'position', of_event, 'event_id', 'evt_' || of_event);
end
$$;
comment on function v1.redeliver_webhook(uuid, text) is $$Deliver one event again

For admins and owners. At once, with the same webhook-id, whatever became of it before; its schedule of attempts begins anew. position: 17, or the id of
the event, evt_17.$$;
grant execute on function v1.redeliver_webhook(uuid, text) to tenant_user;
