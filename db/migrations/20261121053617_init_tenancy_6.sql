-- migrate:up
set local lock_timeout = '3s';
set local search_path = '';

--@ function tenancy.policy_passes(oid, text, jsonb)
create function tenancy.policy_passes(policy oid, clause text, known jsonb)
returns boolean
language plpgsql
stable
security invoker -- the caller's own rights, under row-level security: it learns nothing that it could not ask for
set search_path = ''
parallel unsafe
as $$
declare
  target record;
  passes boolean;
begin
  select pg_get_expr(case clause when 'using' then polqual else coalesce(polwithcheck, polqual) end, polrelid) as condition,
    polrelid::regclass as name, relname into strict target
  from pg_catalog.pg_policy join pg_catalog.pg_class on pg_class.oid = polrelid where pg_policy.oid = policy;
  -- The text is the catalogue's own, never a caller's; the row is a bind parameter.
  execute format('select (%s) from jsonb_populate_record(null::%s, $1) as %I', target.condition, target.name, target.relname)
  into passes using known;
  return passes;
exception when others then
  return null; -- a condition that this role cannot evaluate, or a value that is not of its column's type
end
$$;
comment on function tenancy.policy_passes(oid, text, jsonb) is
  'Part of explain_access(): whether a row of these values passes the policy. clause: using or check. Null where that cannot be told.';

--@ function tenancy.explain_policies(oid, text, jsonb, jsonb)
create function tenancy.explain_policies(target oid, verb text, present jsonb, wanted jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  policy record;
  initial record;
  value jsonb;
  using_passes boolean;
  check_passes boolean;
  explained jsonb := '[]';
begin
  if verb = 'insert' then
    -- Only defaults that a policy looks at: others may draw from a sequence.
    for initial in
      select attname, pg_get_expr(adbin, adrelid) as expression
      from pg_catalog.pg_attrdef join pg_catalog.pg_attribute on attrelid = adrelid and attnum = adnum and attgenerated = ''
      where adrelid = target and not wanted ? attname and exists (
        select from pg_catalog.pg_policy join pg_catalog.pg_depend on classid = 'pg_catalog.pg_policy'::regclass and objid = pg_policy.oid
        where polrelid = target and refobjid = target and refobjsubid = adnum)
    loop
      begin
        execute format('select to_jsonb(%s)', initial.expression) into value;
        wanted := wanted || jsonb_build_object(initial.attname, value);
      exception when others then
        null; -- stays unknown
      end;
    end loop;
  end if;
  for policy in
    select oid, polname, polpermissive, pg_get_expr(polqual, polrelid) as qual,
      pg_get_expr(coalesce(polwithcheck, polqual), polrelid) as with_check,
      (regexp_match(concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)), $r$has_tenant_role\('(\w+)'$r$))[1] as least_role
    from pg_catalog.pg_policy
    where polrelid = target
      and polcmd in ('*', case verb when 'select' then 'r' when 'insert' then 'a' when 'update' then 'w' else 'd' end::"char")
      and exists (select from unnest(polroles) as member where member = 0 or pg_has_role(current_user, member, 'usage'))
    order by not polpermissive, polname
  loop
    using_passes := case when verb <> 'insert' then tenancy.policy_passes(policy.oid, 'using', present) end;
    check_passes := case when verb in ('insert', 'update') then tenancy.policy_passes(policy.oid, 'check', wanted) end;
    explained := explained || jsonb_build_object(
      'policy', policy.polname, 'kind', case when policy.polpermissive then 'permissive' else 'restrictive' end, 'verb', verb,
      'using', case when verb <> 'insert' then policy.qual end, 'using_passes', using_passes,
      'check', case when verb in ('insert', 'update') then policy.with_check end, 'check_passes', check_passes,
      'passes', (verb = 'insert' or using_passes) and (verb not in ('insert', 'update') or check_passes),
      'least_role', policy.least_role);
  end loop;
  if explained @> '[{"kind": "permissive"}]' is false and (select relrowsecurity from pg_catalog.pg_class where oid = target) then
    explained := explained || jsonb_build_object('policy', null, 'kind', 'permissive', 'verb', verb, 'passes', false);
  end if;
  return explained;
end
$$;
comment on function tenancy.explain_policies(oid, text, jsonb, jsonb) is
  'Part of explain_access(): each policy of a table for this verb and role. present: the row as it is; wanted: as it would be.';

--@ function tenancy.explain_grant(oid, text, text, text[])
create function tenancy.explain_grant(relation oid, shown_as text, verb text, asked_columns text[])
returns jsonb
language sql
stable
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select jsonb_build_object('on', shown_as, 'verb', verb,
    'granted', case when verb = 'delete' then has_table_privilege(relation, verb) else has_any_column_privilege(relation, verb) end,
    'columns', case when verb <> 'delete' then coalesce(jsonb_agg(attname order by attnum) filter (
      where case when verb <> 'delete' then has_column_privilege(relation, attnum, verb) end), '[]') end,
    'refused_columns', coalesce(jsonb_agg(attname order by attnum) filter (where attname = any (asked_columns)
      and case when verb in ('insert', 'update') then not has_column_privilege(relation, attnum, verb) end), '[]'))
  from pg_catalog.pg_attribute where attrelid = relation and attnum > 0 and not attisdropped;
end;
comment on function tenancy.explain_grant(oid, text, text, text[]) is
  'Part of explain_access(): what the caller may do with a relation, and which of the asked columns it may not write.';

--@ function tenancy.explain_row(oid, jsonb)
create function tenancy.explain_row(relation oid, row_key jsonb)
returns jsonb
language plpgsql
stable
security invoker -- finds what the caller could read anyway, and nothing else
set search_path = ''
parallel unsafe
as $$
declare
  columns text;
  condition text;
  found_row jsonb;
begin
  select string_agg(format('r.%I', attname), ', ' order by attnum) filter (where has_column_privilege(relation, attnum, 'select')),
    string_agg(format('r.%1$I = k.%1$I', attname), ' and ') filter (where row_key ? attname)
  into columns, condition
  from pg_catalog.pg_attribute where attrelid = relation and attnum > 0 and not attisdropped;
  if columns is not null then
    execute format('select to_jsonb(found) from (select %s from %s as r, jsonb_populate_record(null::%2$s, $1) as k where %s limit 1) as found',
      columns, relation::regclass, coalesce(condition, 'true')) into found_row using coalesce(row_key, '{}');
  end if;
  return found_row;
exception when data_exception or insufficient_privilege or integrity_constraint_violation or undefined_function then
  return null; -- a key that is not of its column's type finds nothing
end
$$;
comment on function tenancy.explain_row(oid, jsonb) is
  'Part of explain_access(): a row that the caller can read and that has these values, or null.';

--@ function tenancy.explain_function(text, text)
create function tenancy.explain_function(schema_name text, function_name text)
returns jsonb
language sql
stable
security invoker
set search_path = ''
parallel unsafe
begin atomic
  select jsonb_build_object(
    'allowed', coalesce(bool_or(has_schema_privilege(pronamespace, 'usage') and has_function_privilege(oid, 'execute')), false),
    'grants', coalesce(jsonb_agg(jsonb_build_object('on', format('%s.%s(%s)', schema_name, proname, pg_get_function_identity_arguments(oid)),
      'verb', 'execute', 'granted', has_function_privilege(oid, 'execute')) order by oid), '[]'),
    'summary', case when bool_or(has_schema_privilege(pronamespace, 'usage') and has_function_privilege(oid, 'execute'))
        then 'your role may call it; what it checks itself was not run'
      when count(*) = 0 then format('the API has no function %s.%s', schema_name, function_name)
      else format('the role %s may not call %s.%s', current_user, schema_name, function_name) end,
    'next', case when bool_or(has_function_privilege(oid, 'execute')) then 'call it: an error names what it refused'
      else 'look the function up in the API documentation, or use a token of another role' end)
  from pg_catalog.pg_proc
  where pronamespace = (select oid from pg_catalog.pg_namespace where nspname = schema_name) and proname = function_name;
end;
comment on function tenancy.explain_function(text, text) is 'Part of explain_access(): whether the caller may call a function of the API.';

--@ function tenancy.writes_by_definer(oid, text)
create function tenancy.writes_by_definer(view oid, verb text)
returns boolean
language sql
stable
security invoker
set search_path = ''
parallel unsafe
begin atomic
  -- tgtype: 64 instead of; 4 insert, 8 delete, 16 update (PostgreSQL's pg_trigger.h).
  select exists (
    select from pg_catalog.pg_trigger join pg_catalog.pg_proc on pg_proc.oid = tgfoid
    where tgrelid = view and prosecdef and tgtype & 64 > 0
      and tgtype & case verb when 'insert' then 4 when 'delete' then 8 when 'update' then 16 else 0 end > 0);
end;
comment on function tenancy.writes_by_definer(oid, text) is
  'Part of explain_access(): whether a function with its owner''s rights does the write, so that the caller''s grants and policies on '
  'the tables behind do not decide.';

--@ function tenancy.explain_refusal(jsonb, jsonb, jsonb)
create function tenancy.explain_refusal(asked jsonb, context jsonb, explained jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  own_rank constant integer := tenancy.role_rank(context ->> 'tenant_role');
  action text;
  failed jsonb;
  restricted jsonb[];
  unpermitted jsonb[];
  undecided boolean;
  least_role text;
begin
  select jsonb_agg(distinct name) into failed
  from jsonb_array_elements(explained -> 'grants') as g, jsonb_array_elements_text(g -> 'refused_columns') as name;
  if failed is not null then
    return jsonb_build_object('allowed', false,
      'summary', format('the role %s may not set these columns: %s', context ->> 'role',
        (select string_agg(name, ', ') from jsonb_array_elements_text(failed) as name)),
      'next', 'leave them out: the server sets them, or a function of the API does');
  end if;
  select g ->> 'verb' into action from jsonb_array_elements(explained -> 'grants') as g where not (g ->> 'granted')::boolean limit 1;
  if found then
    return jsonb_build_object('allowed', false,
      'summary', format('the role %s has no grant to %s in %s', context ->> 'role', action, asked ->> 'relation'),
      'next', 'no member of any tenant may: see which functions the API has for it');
  end if;
  if (explained -> 'row' ->> 'found')::boolean is false and asked -> 'row_key' <> 'null' and asked ->> 'verb' <> 'insert' then
    return jsonb_build_object('allowed', false, 'summary', explained -> 'row' ->> 'sentence',
      'next', 'check the key: a row that was deleted, or was never there, looks the same');
  end if;

  -- For each verb and table, one permissive policy has to pass, and every restrictive one.
  select array_agg(p) filter (where kind = 'restrictive' and passes = 'false'),
    array_agg(p) filter (where kind = 'permissive' and not one_may_pass), bool_or(not one_passes or kind = 'restrictive' and passes = 'null')
  into restricted, unpermitted, undecided
  from (
    select p, p ->> 'kind' as kind, p -> 'passes' as passes,
      bool_or(p ->> 'kind' = 'permissive' and p -> 'passes' <> 'false') over same as one_may_pass,
      bool_or(p ->> 'kind' = 'permissive' and p -> 'passes' = 'true') over same as one_passes
    from jsonb_array_elements(explained -> 'policies') as p
    window same as (partition by p -> 'verb', p -> 'table')
  ) as judged;
  failed := coalesce(restricted[1], unpermitted[1]);
  if failed is null then
    return case
      when (explained ->> 'decided_by_function')::boolean then jsonb_build_object('allowed', null,
        'summary', 'a function of the API does this write, and what it checks itself was not run', 'next', 'send it: an error names what was refused')
      when undecided then jsonb_build_object('allowed', null,
        'summary', 'it depends on the row: a policy looks at columns that are not known here', 'next', 'name the row by its key')
      else jsonb_build_object('allowed', true, 'summary',
        coalesce(case when asked ->> 'verb' <> 'insert' then explained -> 'row' ->> 'sentence' end, 'grants and policies allow it'),
        'next', case when (explained -> 'row' ->> 'found')::boolean is false and asked ->> 'verb' <> 'insert'
          then 'the answer is empty until there are rows'
          when asked ->> 'verb' = 'select' then 'if the answer is empty all the same, one of its other conditions is why'
          else 'if it was refused all the same, the error names a constraint or a rule of the value' end)
    end;
  end if;
  least_role := failed ->> 'least_role';
  return jsonb_build_object('allowed', false,
    'summary', case when failed -> 'policy' = 'null' then format('no policy lets the role %s %s here', context ->> 'role', asked ->> 'verb')
      else format('the policy "%s" does not pass', failed ->> 'policy') end,
    'next', case
      when own_rank < tenancy.role_rank(least_role) and tenancy.role_rank(context ->> 'membership') >= tenancy.role_rank(least_role)
        then format('the token carries the role %s and the membership is %s: get a token with that role',
          context ->> 'tenant_role', context ->> 'membership')
      when own_rank < tenancy.role_rank(least_role)
        then format('ask an %s for the role %s', case least_role when 'owner' then 'owner' else 'admin' end, least_role)
      when asked -> 'body' ->> 'tenant_id' <> context ->> 'tenant_id' then 'leave tenant_id out: it is filled in with your tenant'
      else 'the condition of the policy does not hold for this row or these values: change them' end);
end
$$;
comment on function tenancy.explain_refusal(jsonb, jsonb, jsonb) is
  'Part of explain_access(): what decided, in a sentence, and what to do next.';

--@ function tenancy.explain_verb(oid, text, text, jsonb, jsonb)
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

--@ function tenancy.explain_access(text, text, jsonb, jsonb)
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

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ run undo grants tenancy.explain_access
-- Privileges: check by hand that no other object of the book grants the same.
revoke execute on function tenancy.policy_passes(oid, text, jsonb), tenancy.explain_policies(oid, text, jsonb, jsonb), tenancy.explain_grant(oid, text, text, text[]), tenancy.explain_row(oid, jsonb), tenancy.explain_function(text, text), tenancy.explain_verb(oid, text, text, jsonb, jsonb), tenancy.writes_by_definer(oid, text), tenancy.explain_refusal(jsonb, jsonb, jsonb), tenancy.explain_access(text, text, jsonb, jsonb) from tenant_user, operator;

--@ drop grants tenancy.explain_access

--@ drop function tenancy.explain_access(text, text, jsonb, jsonb)
drop function tenancy.explain_access(text, text, jsonb, jsonb);

--@ drop function tenancy.explain_verb(oid, text, text, jsonb, jsonb)
drop function tenancy.explain_verb(oid, text, text, jsonb, jsonb);

--@ drop function tenancy.explain_refusal(jsonb, jsonb, jsonb)
drop function tenancy.explain_refusal(jsonb, jsonb, jsonb);

--@ drop function tenancy.writes_by_definer(oid, text)
drop function tenancy.writes_by_definer(oid, text);

--@ drop function tenancy.explain_function(text, text)
drop function tenancy.explain_function(text, text);

--@ drop function tenancy.explain_row(oid, jsonb)
drop function tenancy.explain_row(oid, jsonb);

--@ drop function tenancy.explain_grant(oid, text, text, text[])
drop function tenancy.explain_grant(oid, text, text, text[]);

--@ drop function tenancy.explain_policies(oid, text, jsonb, jsonb)
drop function tenancy.explain_policies(oid, text, jsonb, jsonb);

--@ drop function tenancy.policy_passes(oid, text, jsonb)
drop function tenancy.policy_passes(oid, text, jsonb);
