-- expects: rowhouse_worker in rowhouse_dispatcher
-- expects: rowhouse_owner in rowhouse_sealer
-- flaw
reset role;
grant rowhouse_dispatcher to rowhouse_worker;
grant rowhouse_sealer to rowhouse_owner with inherit true;
-- fixed
reset role;
revoke rowhouse_dispatcher from rowhouse_worker;
grant rowhouse_sealer to rowhouse_owner with inherit false;
