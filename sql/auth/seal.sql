--@ function auth.seal_for(text)
set role rowhouse_sealer;
create function auth.seal_for(token text)
returns text
language plpgsql
stable
security definer -- looks up membership before any tenant context exists
set search_path = ''
parallel safe
as $$
declare
  claims jsonb := auth.verify_token(token);
  claimed_tenant text := claims ->> 'tenant_id';
  claimed_role text := claims ->> 'role';
  tenant_status text;
  timeout_ms integer;
  rank integer := 0;
  reads_only text;
begin
  if claimed_role = 'operator' then
    if claimed_tenant is not null then
      perform request.raise_error('token_invalid', 'an operator has no tenant');
    elsif not exists (select from auth.operators where subject = claims ->> 'sub') then
      perform request.raise_error('membership_required', 'the subject is not an operator');
    end if;
  elsif claimed_role in ('tenant_user', 'rowhouse_worker', 'rowhouse_edge') then
    select status, statement_timeout_ms into tenant_status, timeout_ms from tenancy.tenants where id = claimed_tenant;
    if not found then
      perform request.raise_error('tenant_unknown');
    elsif tenant_status = 'suspended' then
      perform request.raise_error('tenant_suspended', null, 'ask the operator to resume the tenant');
    end if;
    if claimed_role = 'tenant_user' and claims ? 'key_id' then
      select admitted.rank, case when not admitted.may_write then 'r' end into rank, reads_only
      from auth.admit_api_key(claims) as admitted;
    elsif claimed_role = 'tenant_user' then
      -- A token can carry less than its subject's membership, never more: a downgrade takes effect on the next request.
      select least(tenancy.role_rank(role), tenancy.role_rank(claims ->> 'tenant_role')) into rank
      from tenancy.members
      where tenant_id = claimed_tenant and user_id = claims ->> 'sub'
        and tenancy.role_rank(claims ->> 'tenant_role') is not null; -- least() passes over nulls
      if not found then
        perform request.raise_error('membership_required', null, 'ask an admin of the tenant to add you');
      end if;
    end if;
  else
    perform request.raise_error('token_invalid', 'the role is unknown');
  end if;
  return concat_ws(' ', coalesce(claimed_tenant, '_'), rank, claimed_role,
    encode(convert_to(claims ->> 'sub', 'UTF8'), 'hex'), encode(convert_to(claims ->> 'jti', 'UTF8'), 'hex'), timeout_ms, reads_only);
end
$$;
comment on function auth.seal_for(text) is
  'What the gate writes into the protected variable: tenant, rank of the member''s role, role, and subject and token id as hex, '
  'since the variable holds letters, digits, _ and space; of tenants also the statement timeout in ms; then r where nothing may be written. Raises what auth.verify_token() raises, '
  'tenant_unknown, tenant_suspended, membership_required, api_key_invalid.';
set role rowhouse_owner;

--@ function auth.seal_is_protected()
create function auth.seal_is_protected()
returns boolean
language sql
stable
security invoker
parallel safe
return has_parameter_privilege('rowhouse_sealer', 'backtrace_functions', 'set');
comment on function auth.seal_is_protected() is
  'Whether this server let the sealer write the protected variable; where not, each statement verifies the token.';
grant execute on function auth.seal_is_protected()
  to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;

--@ function auth.current_token()
create function auth.current_token()
returns text
language sql
stable
security invoker
parallel safe
return coalesce(
  substring(nullif(current_setting('request.headers', true), '')::json ->> 'authorization' from '^[Bb][Ee][Aa][Rr][Ee][Rr] +(\S+)$'),
  nullif(current_setting('rowhouse.token', true), ''));
comment on function auth.current_token() is
  'The bearer token of the request or of auth.enter(). Anyone can write it: it is worth what auth.verify_token() says.';
grant execute on function auth.current_token() to rowhouse_sealer;

--@ function auth.verified_seal()
set role rowhouse_sealer;
create function auth.verified_seal()
returns text
language sql
stable
security definer -- as auth.seal_for()
set search_path = ''
parallel safe
begin atomic
  select case
    when auth.seal_is_protected() or auth.current_token() is null then null
    else auth.seal_for(auth.current_token())
  end;
end;
comment on function auth.verified_seal() is
  'The seal where no variable can be protected: verified anew in each statement. Null where the variable is protected, '
  'so that nothing but the gate can set a context there.';
grant execute on function auth.verified_seal()
  to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_owner;
set role rowhouse_owner;
