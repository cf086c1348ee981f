-- expects: tenancy.own_tenant()
-- flaw
alter function tenancy.own_tenant() reset search_path;
-- fixed
alter function tenancy.own_tenant() set search_path = '';
