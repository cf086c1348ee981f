--@ function tenancy.policy_passes(oid,text,jsonb)
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

--@ function tenancy.explain_policies(oid,text,jsonb,jsonb)
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
      -- Where several are asked for, the next that the caller lacks.
      (select asked[1] from regexp_matches(concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)),
          $r$has_tenant_role\('(\w+)'$r$, 'g') as asked
        order by request.has_tenant_role(asked[1]), tenancy.role_rank(asked[1]) limit 1) as least_role
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

--@ function tenancy.explain_grant(oid,text,text,text[])
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

--@ function tenancy.explain_row(oid,jsonb)
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

--@ function tenancy.explain_function(text,text)
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

--@ function tenancy.writes_by_definer(oid,text)
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
