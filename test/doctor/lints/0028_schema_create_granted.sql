-- expects: app for rowhouse_worker
-- flaw
grant create on schema app to rowhouse_worker;
-- fixed
revoke create on schema app from rowhouse_worker;
