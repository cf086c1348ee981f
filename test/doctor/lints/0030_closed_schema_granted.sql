-- expects: pgboss for tenant_user
-- expects: extensions for public
-- expects: ledger.entries for tenant_user
-- flaw
grant select on ledger.entries to tenant_user;
reset role;
grant usage on schema pgboss to tenant_user;
grant usage on schema extensions to public;
-- fixed
reset role;
revoke select on ledger.entries from tenant_user;
revoke usage on schema pgboss from tenant_user;
revoke usage on schema extensions from public;
