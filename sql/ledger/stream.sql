--@ function ledger.enter_stream(text)
create function ledger.enter_stream(token text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  perform auth.enter(token);
  if request.role() is distinct from 'tenant_user' then
    perform request.raise_error('token_invalid', 'the role of the token is not a member''s');
  end if;
end
$$;
comment on function ledger.enter_stream(text) is 'Seals this transaction for a member''s token. Raises what auth.enter() raises.';
grant execute on function ledger.enter_stream(text) to rowhouse_edge;

--@ function ledger.open_stream(text,bigint,bigint)
create function ledger.open_stream(token text, last_event bigint, known bigint)
returns table (tenant_role text, "position" bigint, mark bigint, passed bigint[])
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
parallel unsafe
as $$
#variable_conflict use_column
declare
  settled bigint;
begin
  perform ledger.enter_stream(token);
  settled := (select w.through from ledger.stream_window(0, known, null) as w);
  if last_event > 0 then
    perform ledger.require_entry(last_event);
  end if;
  set local role tenant_user;
  return query
    select request.tenant_role(),
      -- One that was read elsewhere may be ahead of a writer that has not ended.
      least(last_event, settled),
      coalesce(last_event, (select e.position from v1.events as e where e.position <= settled order by e.position desc limit 1)),
      case when last_event is null then
        array(select e.position from v1.events as e where e.position > settled order by e.position limit 1000) end;
end
$$;
comment on function ledger.open_stream(text, bigint, bigint) is
  'Where a stream begins: behind last_event, with 0 behind nothing, with null now: whatever commits after this call is behind it, and so is '
  'what has just been committed and may follow a writer that has not ended: passed. known: as in ledger.stream_window(). mark: the last '
  'event up to there that the member sees. Raises what auth.enter() raises, event_unknown.';
grant execute on function ledger.open_stream(text, bigint, bigint) to rowhouse_edge;

--@ function ledger.read_streams(jsonb,integer)
create function ledger.read_streams(requests jsonb, max_bytes integer)
returns table (nth integer, "position" bigint, type text, subject text, event text, tenant_role text, is_full boolean, has_more boolean, mark bigint, refusal jsonb)
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
parallel unsafe
as $$
#variable_conflict use_column
declare
  asked record;
  stretch record;
  found_event record;
  bytes integer;
begin
  for asked in
    select wanted.*, number from jsonb_array_elements(requests) with ordinality as listed (body, number)
    cross join lateral jsonb_to_record(body) as wanted (token text, after bigint, settled bigint, seen bigint, entries integer, types text[], about text)
  loop
    begin
      bytes := 0;
      mark := null;
      perform ledger.enter_stream(asked.token);
      if asked.seen > 0 then
        perform ledger.require_entry(asked.seen);
      end if;
      select * into stretch from ledger.stream_window(asked.after, asked.settled, asked.entries);
      set local role tenant_user;
      nth := asked.number;
      tenant_role := request.tenant_role();
      refusal := null;
      for found_event in
        select e.position, e.type, e.subject, e.event::text as body
        from v1.events as e
        where e.position > asked.after and e.position <= stretch.through
          and (asked.types is null or e.type like any (asked.types)) and (asked.about is null or e.subject = asked.about)
        order by e.position
      loop
        if bytes > 0 and bytes + octet_length(found_event.body) > max_bytes then
          stretch.through := mark;
          stretch.is_full := true;
          stretch.has_more := true;
          exit;
        end if;
        bytes := bytes + octet_length(found_event.body);
        position := found_event.position;
        mark := position;
        type := found_event.type;
        subject := found_event.subject;
        event := found_event.body;
        return next;
      end loop;
      position := stretch.through;
      type := null;
      subject := null;
      event := null;
      if asked.types is not null or asked.about is not null then
        mark := (
          select e.position from v1.events as e where e.position > asked.after and e.position <= stretch.through
          order by e.position desc limit 1);
      end if;
      is_full := stretch.is_full;
      has_more := stretch.has_more;
      return next;
      -- Leaves this context, so that the next one can be entered: what was returned stays.
      raise sqlstate 'RHEND';
    exception
      when sqlstate 'RHEND' then
        null;
      when sqlstate 'PGRST' then
        nth := asked.number;
        position := null;
        type := null;
        tenant_role := null;
        is_full := null;
        has_more := null;
        mark := null;
        refusal := sqlerrm::jsonb;
        return next;
    end;
  end loop;
end
$$;
comment on function ledger.read_streams(jsonb, integer) is
  'What members see of their tenants'' events, each in a session sealed with a token of their own. requests: an array of {token, after, '
  'settled, seen, entries, types, about}: events among so many entries behind `after`; settled: `position` of an earlier answer''s last row; '
  'seen: an event without which the answer is event_unknown, null where none is needed; '
  'types: patterns of LIKE, about: a subject, null for all. For each request its events, in order, then a row without a type: `position` is up to where they are '
  'complete, mark the last event up to there that the member sees, is_full that `entries` or max_bytes ended them, has_more that there are entries behind; or the refusal of the gate.';
grant execute on function ledger.read_streams(jsonb, integer) to rowhouse_edge;

--@ function ledger.review_tokens(text[])
create function ledger.review_tokens(tokens text[])
returns table (nth integer, tenant_role text, refusal jsonb)
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  token text;
begin
  nth := 0;
  foreach token in array tokens loop
    nth := nth + 1;
    begin
      refusal := null;
      perform ledger.enter_stream(token);
      tenant_role := request.tenant_role();
      raise sqlstate 'RHEND';
    exception
      when sqlstate 'RHEND' then
        null;
      when sqlstate 'PGRST' then
        tenant_role := null;
        refusal := sqlerrm::jsonb;
    end;
    return next;
  end loop;
end
$$;
comment on function ledger.review_tokens(text[]) is 'What the gate says of each token now: the member''s role, or why it refuses.';
grant execute on function ledger.review_tokens(text[]) to rowhouse_edge;
