--@ view v1.events
create view v1.events with (security_invoker = true) as
  select tenant_id, "position", type, subject, "time", actor, event from ledger.events;
comment on view v1.events is $$Events

What happened to the tenant's data, and what was emitted, as CloudEvents 1.0. Page with order=position.desc and position=lt.<the last one>; filter by
type and subject. To begin at a time, ask event_position where that is. An event is seen by who may read what it is about.$$;
comment on column v1.events."position" is 'The order of the tenant''s events. The id of the event is evt_ and this.';
comment on column v1.events.type is 'Such as app.jobs.updated: one of event_types, or what was emitted.';
comment on column v1.events.subject is 'The id of the row; what emit_event was told.';
comment on column v1.events.actor is 'The subject of the token that did it: a user, key:<id>, worker:<job id>.';
comment on column v1.events.event is 'The CloudEvent. Its data: old and new, the row before and after, and changed, the names of the columns that differ.';
grant select on v1.events to tenant_user;

--@ function v1.event_position(timestamptz)
create function v1.event_position(at timestamptz)
returns bigint
language sql
stable
security invoker
parallel safe
return ledger.position_at(at);
comment on function v1.event_position(timestamptz) is $$Where events of a time begin

The position of the first event at or after it: then page with position=gte.<that>. Null where there is none yet.$$;
grant execute on function v1.event_position(timestamptz) to tenant_user;

--@ view v1.event_types
create view v1.event_types with (security_invoker = true) as
  with versions as (
    select name, relation is not null as of_table, version, description, schema from ledger.event_sources
    union all
    select p.name, s.relation is not null, p.version, s.description, p.schema
    from ledger.past_event_schemas as p join ledger.event_sources as s on s.name = p.name)
  select v.name || k.suffix as type, v.version,
    case when v.of_table then format(k.says, coalesce(nullif(v.description, ''), v.name)) else v.description end as description,
    jsonb_build_object('$schema', 'https://json-schema.org/draft/2020-12/schema', '$id', 'rowhouse:/v1/event-types/' || v.name || k.suffix || '/' || v.version)
    || case when not v.of_table then v.schema else jsonb_build_object('type', 'object', 'required', '["old", "new", "changed"]'::jsonb,
      'properties', jsonb_build_object(
        'old', case when k.had_old then v.schema else '{"type": "null"}' end,
        'new', case when k.has_new then v.schema else '{"type": "null"}' end,
        'changed', case when k.had_old and k.has_new then '{"type": "array", "items": {"type": "string"}}' else '{"type": "null"}' end::jsonb)) end as schema
  from versions as v
  join (values
    (true, '.inserted', 'A row was added: %s', false, true),
    (true, '.updated', 'A row was changed: %s', true, true),
    (true, '.deleted', 'A row was removed: %s', true, false),
    (false, '', '', false, false)) as k (of_table, suffix, says, had_old, has_new) on k.of_table = v.of_table;
comment on view v1.event_types is $$Types of events

What the data of each type looks like, as JSON Schema, for this version of it and those before. emit_event takes other types, too.$$;
comment on column v1.event_types.version is
  'The last part of the event''s dataschema. It rises when a column is taken away or changes its type, or a declared schema changes in more than words, not '
  'when something is added. An event from before a change of type keeps its version.';
comment on column v1.event_types.schema is
  'JSON Schema (draft 2020-12) of the event''s data. Of a table''s events it is made from the columns; of an emitted type it is what its producers '
  'promise: nothing compares their data with it.';
grant select on v1.event_types to tenant_user;

--@ function v1.emit_event(text,text,jsonb)
create function v1.emit_event(type text, subject text default null, data jsonb default null)
returns json
language plpgsql
volatile
security definer -- clients may not write the ledger themselves
set search_path = ''
parallel unsafe
as $$
declare
  emitted bigint;
begin
  if not request.has_tenant_role('member') then
    perform request.raise_error('role_insufficient', 'a viewer emits no events', 'ask an admin of the tenant for the role member');
  end if;
  emitted := ledger.emit_event(type, subject, data);
  return json_build_object('id', 'evt_' || emitted, 'position', emitted);
end
$$;
comment on function v1.emit_event(text, text, jsonb) is $$Emit an event

Of a type of your own: words of a-z, A-Z, 0-9 and _ with dots between them, such as order.paid. It reaches webhooks and streams like any other, once, in the
tenant's order. subject: what it is about; data: any JSON of up to 64 KiB. Of a type that is in event_types it should fit the schema, which consumers
go by: nothing compares it here.$$;
grant execute on function v1.emit_event(text, text, jsonb) to tenant_user;
