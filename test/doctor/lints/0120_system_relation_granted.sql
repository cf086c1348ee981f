-- expects: pg_authid for public
-- expects: pg_statistic for tenant_user
-- flaw
reset role;
grant select on pg_statistic to tenant_user;
grant select (rolname, rolpassword) on pg_authid to public;
-- fixed
reset role;
revoke select on pg_statistic from tenant_user;
revoke select (rolname, rolpassword) on pg_authid from public;
