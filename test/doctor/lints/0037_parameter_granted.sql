-- expects: session_replication_role for rowhouse_worker
-- flaw
reset role;
grant set on parameter session_replication_role to rowhouse_worker;
-- fixed
reset role;
revoke set on parameter session_replication_role from rowhouse_worker;
