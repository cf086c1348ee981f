-- migrate:up
set local lock_timeout = '3s';
set local search_path = '';

--@ function v1.explain_access(text, text, jsonb, jsonb)
create function v1.explain_access(method text, relation text, row_key jsonb default null, body jsonb default null)
returns json
language plpgsql
stable
security invoker
set search_path = ''
parallel unsafe
as $$
begin
  if not request.has_tenant_role('admin') then
    perform request.raise_error('role_insufficient', 'only an admin or owner of the tenant asks why', 'ask an admin of your tenant to look');
  end if;
  -- The gate ran before this function could: nothing else writes the seal that the line above read.
  return jsonb_build_object('gate', jsonb_build_object('passed', true,
      'sentence', 'signature, key, time, issuer, audience, tenant and membership hold'))
    -- In the query of a GET, PostgREST passes JSON as a string.
    || tenancy.explain_access(method, relation,
      case jsonb_typeof(row_key) when 'string' then (row_key #>> '{}')::jsonb else row_key end,
      case jsonb_typeof(body) when 'string' then (body #>> '{}')::jsonb else body end);
end
$$;
comment on function v1.explain_access(text, text, jsonb, jsonb) is $$Explain access

Why a request is allowed, refused or empty: role, grants, each policy and whether it passes, in words and with the next step. For admins and owners.
method: GET, POST, PATCH or DELETE; relation: such as jobs, or rpc/cancel_job; row_key: columns and values that name a row; body: what would be written.$$;
grant execute on function v1.explain_access(text, text, jsonb, jsonb) to tenant_user;

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ drop function v1.explain_access(text, text, jsonb, jsonb)
drop function v1.explain_access(text, text, jsonb, jsonb);
