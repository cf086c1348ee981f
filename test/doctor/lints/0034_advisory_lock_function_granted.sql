-- expects: pg_advisory_lock(bigint) for public
-- flaw
reset role;
grant execute on function pg_advisory_lock(bigint) to public;
-- fixed
reset role;
revoke execute on function pg_advisory_lock(bigint) from public;
