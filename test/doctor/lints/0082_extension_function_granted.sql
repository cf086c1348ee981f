-- expects: extensions.gen_random_bytes(integer) for rowhouse_worker
-- flaw
reset role;
grant usage on schema extensions to rowhouse_worker;
grant execute on function extensions.gen_random_bytes(integer) to rowhouse_worker;
-- fixed
reset role;
revoke execute on function extensions.gen_random_bytes(integer) from rowhouse_worker;
