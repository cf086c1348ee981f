-- expects: request.tenant_id()
-- flaw
create or replace function request.tenant_id() returns text language sql stable security invoker parallel safe
  return nullif(split_part(request.seal(), ' ', 1), '_');
-- fixed
create or replace function request.tenant_id() returns text language sql stable security invoker parallel safe
  return coalesce(nullif(split_part(request.seal(), ' ', 1), '_'), request.tenant_required());
