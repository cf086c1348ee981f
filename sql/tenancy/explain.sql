--@ function tenancy.explain_verb(oid,text,text,jsonb,jsonb)
create function tenancy.explain_verb(target oid, shown_as text, verb text, present jsonb, wanted jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  asked constant text[] := array(select jsonb_object_keys(wanted));
  tenant constant text := nullif(split_part(request.seal(), ' ', 1), '_');
  behind record;
  grants jsonb := jsonb_build_array(tenancy.explain_grant(target, shown_as, verb, asked));
  policies jsonb := '[]';
  tables integer := 0;
  own jsonb;
begin
  if tenancy.writes_by_definer(target, verb) then
    return jsonb_build_object('grants', grants, 'policies', '[]'::jsonb, 'decided_by_function', true);
  end if;
  for behind in
    with recursive behind (relation) as (
      select target
      union
      -- Not from pg_depend: there, the row type of a function's result looks like a table that is read.
      select table_id::oid from behind
      join pg_catalog.pg_rewrite on ev_class = relation
      cross join regexp_matches(ev_action::text, ':rtekind 0 :relid (\d+)', 'g') as named (ids), unnest(ids) as table_id
    )
    select relation from behind join pg_catalog.pg_class on oid = relation where relkind in ('r', 'p') order by relation
  loop
    -- What is known of any row of the tenant, where no row was named: the rest is null, and may leave a policy undecided.
    own := jsonb_build_object(case when behind.relation = 'tenancy.tenants'::regclass then 'id' else 'tenant_id' end, tenant);
    if behind.relation <> target then
      grants := grants || tenancy.explain_grant(behind.relation, 'the table behind ' || shown_as, verb, asked);
    end if;
    tables := tables + 1;
    select policies || coalesce(jsonb_agg(policy || jsonb_build_object('table', tables)), '[]') into policies
    from jsonb_array_elements(tenancy.explain_policies(behind.relation, verb, coalesce(present, own),
      case verb when 'update' then coalesce(present, own) || wanted else wanted end)) as policy;
  end loop;
  return jsonb_build_object('grants', grants, 'policies', policies, 'decided_by_function', false);
end
$$;
comment on function tenancy.explain_verb(oid, text, text, jsonb, jsonb) is
  'Part of explain_access(): grants and policies of a relation of the API and of the tables behind it.';

--@ function tenancy.explain_access(text,text,jsonb,jsonb)
create function tenancy.explain_access(method text, relation text, row_key jsonb default null, body jsonb default null)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  path constant text[] := regexp_match(relation, '^/?(?:(v1|admin)[./])?(rpc/)?([A-Za-z_][A-Za-z0-9_]{0,62})$');
  schema_name constant text := coalesce(path[1], 'v1');
  shown_as constant text := schema_name || '.' || path[3];
  verbs constant text[] := case upper(method) when 'GET' then '{select}' when 'HEAD' then '{select}' when 'POST' then '{insert}'
    when 'PUT' then '{insert,update}' when 'PATCH' then '{update}' when 'DELETE' then '{delete}' end;
  asked constant jsonb := jsonb_build_object('method', upper(method), 'relation', coalesce(shown_as, relation), 'verb', verbs[1],
    'row_key', row_key, 'body', body);
  context jsonb := jsonb_build_object('tenant_id', nullif(split_part(request.seal(), ' ', 1), '_'), 'subject', request.subject(),
    'role', request.role(), 'tenant_role', request.tenant_role());
  place constant text := case request.role() when 'operator' then 'the directory' else 'your tenant' end;
  target oid;
  unknown_columns text;
  present jsonb;
  explained jsonb := '{"grants": [], "policies": [], "row": null}';
  one jsonb;
  verb text;
  refusal text;
begin
  if request.role() = 'tenant_user' then
    context := context || (select jsonb_build_object('membership', role) from tenancy.members
      where tenant_id = request.tenant_id() and user_id = request.subject());
    explained := explained || jsonb_build_object('limits', metering.own_limits());
  end if;
  select c.oid into target from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = relnamespace
  where nspname = schema_name and relname = path[3] and relkind in ('r', 'p', 'v', 'm', 'f');
  select string_agg(name, ', ' order by name) into unknown_columns
  from (select jsonb_object_keys(case jsonb_typeof(row_key) when 'object' then row_key end)
    union select jsonb_object_keys(case jsonb_typeof(body) when 'object' then body end)) as named (name)
  where not exists (select from pg_catalog.pg_attribute where attrelid = target and attname = name and attnum > 0 and not attisdropped);
  refusal := case
    when verbs is null then 'the method is not GET, HEAD, POST, PUT, PATCH or DELETE'
    when jsonb_typeof(row_key) <> 'object' or jsonb_typeof(body) <> 'object' then 'row key and body are JSON objects: columns and values'
    when path is null then 'the relation is not one name, such as jobs'
    when path[2] is not null then null
    when target is null then format('the API has no relation %s', shown_as)
    when not has_schema_privilege(schema_name, 'usage') then format('the role %s does not reach the %s API', request.role(), schema_name)
    when unknown_columns is not null then format('%s has no column %s', shown_as, unknown_columns)
  end;
  if refusal is not null then
    return explained || jsonb_build_object('request', asked, 'context', context, 'allowed', false, 'summary', refusal,
      'next', case when target is not null and unknown_columns is null
        then 'v1 is for members'' tokens, admin for operators''' else 'look the names up in the API documentation' end);
  elsif path[2] is not null then
    return explained || jsonb_build_object('request', asked, 'context', context) || tenancy.explain_function(schema_name, path[3]);
  end if;
  if verbs <> '{insert}' then
    present := tenancy.explain_row(target, row_key);
    -- The same words whatever another tenant has: only what the caller can read was looked at.
    explained := explained || jsonb_build_object('row', jsonb_build_object('found', present is not null, 'sentence', case
      when present is null and row_key is null then format('%s has no row here', place)
      when present is null then format('no such row in %s', place)
      when row_key is null then format('%s has rows here', place)
      else format('the row is in %s and visible', place) end));
  end if;
  foreach verb in array verbs loop
    continue when verb = 'update' and verbs[1] = 'insert' and present is null; -- PUT of a new row
    one := tenancy.explain_verb(target, shown_as, verb, case when row_key is not null then present end, coalesce(body, '{}'));
    explained := explained || jsonb_build_object(
      'grants', (explained -> 'grants') || (one -> 'grants'), 'policies', (explained -> 'policies') || (one -> 'policies'),
      'decided_by_function', one -> 'decided_by_function');
  end loop;
  return (explained - 'decided_by_function') || jsonb_build_object('request', asked, 'context', context)
    || tenancy.explain_refusal(asked, context, explained);
end
$$;
comment on function tenancy.explain_access(text, text, jsonb, jsonb) is
  'Why a request of the API is allowed or refused, for the sealed caller: grants, policies, and whether they pass. row_key: columns '
  'and values that name a row; body: what would be written. Looks at nothing that the caller could not read, and writes nothing.';

--@ grants tenancy.explain_access
grant execute on function
  tenancy.policy_passes(oid, text, jsonb), tenancy.explain_policies(oid, text, jsonb, jsonb), tenancy.explain_grant(oid, text, text, text[]),
  tenancy.explain_row(oid, jsonb), tenancy.explain_function(text, text), tenancy.explain_verb(oid, text, text, jsonb, jsonb),
  tenancy.writes_by_definer(oid, text), tenancy.explain_refusal(jsonb, jsonb, jsonb), tenancy.explain_access(text, text, jsonb, jsonb)
  to tenant_user, operator;
