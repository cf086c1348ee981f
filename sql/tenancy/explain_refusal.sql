--@ function tenancy.explain_refusal(jsonb,jsonb,jsonb)
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
