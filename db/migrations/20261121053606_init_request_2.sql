-- migrate:up
set local lock_timeout = '3s';
set local search_path = '';

--@ function request.seal()
create function request.seal()
returns text
language sql
stable
security invoker
parallel safe
return coalesce(nullif(current_setting('backtrace_functions'), ''), auth.verified_seal());
comment on function request.seal() is 'What the gate sealed: tenant, rank, role, subject, token id. Null outside a sealed transaction.';

--@ function request.tenant_id()
create function request.tenant_id()
returns text
language sql
stable
security invoker
parallel safe
return coalesce(nullif(split_part(request.seal(), ' ', 1), '_'), request.tenant_required());
comment on function request.tenant_id() is 'The sealed tenant. Raises tenant_required where there is none: never an empty list by mistake.';

--@ function request.has_tenant_role(text)
create function request.has_tenant_role(least_role text)
returns boolean
language sql
stable
security invoker
parallel safe
return coalesce(split_part(request.seal(), ' ', 2)::integer >= tenancy.role_rank(least_role), false);
comment on function request.has_tenant_role(text) is 'Whether the sealed member has this role of the tenant or a higher one.';

--@ function request.tenant_role()
create function request.tenant_role()
returns text
language sql
stable
security invoker
parallel safe
return (array['viewer', 'member', 'admin', 'owner'])[split_part(request.seal(), ' ', 2)::integer];
comment on function request.tenant_role() is 'The sealed member''s role of the tenant. Null for services and operators.';

--@ function request.role()
create function request.role()
returns text
language sql
stable
security invoker
parallel safe
return split_part(request.seal(), ' ', 3);
comment on function request.role() is 'The sealed database role: the operator''s policies ask for it as well as for the role itself.';

--@ function request.subject()
create function request.subject()
returns text
language sql
stable
security invoker
parallel safe
return convert_from(decode(split_part(request.seal(), ' ', 4), 'hex'), 'UTF8');
comment on function request.subject() is 'The sealed subject: the user, the worker''s job, the operator. Null outside a sealed transaction.';

--@ function request.token_id()
create function request.token_id()
returns text
language sql
stable
security invoker
parallel safe
return convert_from(decode(split_part(request.seal(), ' ', 5), 'hex'), 'UTF8');
comment on function request.token_id() is 'The `jti` of the sealed token.';

--@ function request.header(text)
create function request.header(header_name text)
returns text
language sql
stable
security invoker
parallel safe
return nullif(current_setting('request.headers', true), '')::json ->> header_name;
comment on function request.header(text) is 'A request header by its lower-case name: what the client says, never authority.';

--@ grants request.context
grant execute on function
  request.seal(), request.tenant_id(), request.has_tenant_role(text), request.tenant_role(), request.role(),
  request.subject(), request.token_id(), request.header(text)
  to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ run undo grants request.context
-- Privileges: check by hand that no other object of the book grants the same.
revoke execute on function request.seal(), request.tenant_id(), request.has_tenant_role(text), request.tenant_role(), request.role(), request.subject(), request.token_id(), request.header(text) from tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;

--@ drop grants request.context

--@ drop function request.header(text)
drop function request.header(text);

--@ drop function request.token_id()
drop function request.token_id();

--@ drop function request.subject()
drop function request.subject();

--@ drop function request.role()
drop function request.role();

--@ drop function request.tenant_role()
drop function request.tenant_role();

--@ drop function request.has_tenant_role(text)
drop function request.has_tenant_role(text);

--@ drop function request.tenant_id()
drop function request.tenant_id();

--@ drop function request.seal()
drop function request.seal();
