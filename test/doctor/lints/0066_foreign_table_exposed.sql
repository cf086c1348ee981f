-- expects: v1.elsewhere
-- flaw
reset role;
create extension postgres_fdw with schema extensions;
create server elsewhere foreign data wrapper postgres_fdw;
create foreign table v1.elsewhere (id integer) server elsewhere;
alter foreign table v1.elsewhere owner to rowhouse_owner;
-- fixed
drop foreign table v1.elsewhere;
