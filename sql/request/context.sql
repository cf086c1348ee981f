-- These accessors have no `set` clause: with one, the planner would not inline them into policies, and a call would
-- run for every row. Their bodies are parsed when they are created, so a search_path cannot change what they mean.

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

--@ function request.traceparent()
create function request.traceparent()
returns text
language sql
stable
security invoker
parallel safe
return substring(request.header('traceparent') from '^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?=$|-)');
comment on function request.traceparent() is 'The trace that the request is part of (W3C Trace Context); null without a valid one.';

--@ grants request.context
grant execute on function
  request.seal(), request.tenant_id(), request.has_tenant_role(text), request.tenant_role(), request.role(),
  request.subject(), request.token_id(), request.header(text), request.traceparent()
  to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;
