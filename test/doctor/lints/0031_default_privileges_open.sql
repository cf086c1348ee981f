-- expects: functions of rowhouse_owner for public
-- expects: tables of rowhouse_owner for tenant_user
-- flaw
alter default privileges for role rowhouse_owner grant execute on functions to public;
alter default privileges for role rowhouse_owner in schema app grant select on tables to tenant_user;
-- fixed
alter default privileges for role rowhouse_owner revoke execute on functions from public;
alter default privileges for role rowhouse_owner in schema app revoke select on tables from tenant_user;
