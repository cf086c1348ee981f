-- expects: ledger.positions for tenant_user
-- flaw
grant usage on sequence ledger.positions to tenant_user;
-- fixed
revoke usage on sequence ledger.positions from tenant_user;
