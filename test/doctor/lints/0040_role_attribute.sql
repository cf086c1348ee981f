-- expects: tenant_user
-- expects: rowhouse_worker
-- flaw
reset role;
alter role tenant_user login;
alter role rowhouse_worker bypassrls;
-- fixed
reset role;
alter role tenant_user nologin;
alter role rowhouse_worker nobypassrls;
