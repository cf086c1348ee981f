-- expects: pgboss for anon
-- expects: pgboss for tenant_user
-- expects: extensions for public
-- expects: ledger.entries for tenant_user
-- expects: extensions for rowhouse_edge
-- flaw
grant select on ledger.entries to tenant_user;
reset role;
grant usage on schema pgboss to tenant_user;
grant create on schema pgboss to anon;
grant usage on schema extensions to public;
grant create on schema extensions to rowhouse_edge;
-- fixed
reset role;
revoke select on ledger.entries from tenant_user;
revoke usage on schema pgboss from tenant_user;
revoke create on schema pgboss from anon;
revoke usage on schema extensions from public;
revoke create on schema extensions from rowhouse_edge;
