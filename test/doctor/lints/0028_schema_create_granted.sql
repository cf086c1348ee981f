-- expects: app for rowhouse_worker
-- expects: auth for anon
-- flaw
grant create on schema auth to anon;
grant create on schema app to rowhouse_worker;
-- fixed
revoke create on schema app from rowhouse_worker;
revoke create on schema auth from anon;
