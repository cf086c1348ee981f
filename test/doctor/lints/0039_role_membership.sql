-- expects: authenticator in rowhouse_worker
-- expects: tenant_user in pg_read_all_data
-- expects: rowhouse_edge in tenant_user
-- flaw
reset role;
grant rowhouse_worker to authenticator;
grant pg_read_all_data to tenant_user;
grant tenant_user to rowhouse_edge with inherit true;
-- fixed
reset role;
revoke rowhouse_worker from authenticator;
revoke pg_read_all_data from tenant_user;
grant tenant_user to rowhouse_edge with inherit false;
