-- migrate:up
set local lock_timeout = '3s';
set local search_path = '';

--@ function tenancy.role_rank(text)
create function tenancy.role_rank(tenant_role text)
returns integer
language sql
immutable
security invoker
parallel safe
return case tenant_role when 'viewer' then 1 when 'member' then 2 when 'admin' then 3 when 'owner' then 4 end;
comment on function tenancy.role_rank(text) is 'viewer 1, member 2, admin 3, owner 4; null for anything else.';
grant execute on function tenancy.role_rank(text) to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ drop function tenancy.role_rank(text)
drop function tenancy.role_rank(text);
