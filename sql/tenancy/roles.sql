--@ function tenancy.role_rank(text)
create function tenancy.role_rank(tenant_role text)
returns integer
language sql
immutable
security invoker
parallel safe
return array_position(array['viewer', 'member', 'admin', 'owner'], tenant_role);
comment on function tenancy.role_rank(text) is 'viewer 1, member 2, admin 3, owner 4; null for anything else.';
grant execute on function tenancy.role_rank(text) to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;
