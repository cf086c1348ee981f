-- expects: authenticator (statement_timeout)
-- flaw
reset role;
alter role authenticator set statement_timeout = 0;
-- fixed
reset role;
alter role authenticator set statement_timeout = '15s';
