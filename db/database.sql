-- The database level: what only a superuser can install. Run once in each database, after db/roles.sql; safe to repeat.

create schema if not exists extensions;
create extension if not exists pgcrypto with schema extensions;

do $$
begin
  execute format('alter database %I owner to rowhouse_owner', current_database());
  execute format('revoke all on database %I from public', current_database());
  execute format(
    'grant connect on database %I to authenticator, rowhouse_migrator, rowhouse_worker, rowhouse_edge', current_database());
  if current_setting('server_encoding') <> 'UTF8' then
    raise exception 'the database must be UTF8, it is %', current_setting('server_encoding')
      using hint = 'create database … encoding ''UTF8'' template template0';
  end if;
end
$$;

alter schema public owner to rowhouse_owner;
revoke all on schema public from public;
grant usage on schema extensions to rowhouse_owner, rowhouse_sealer;
revoke all on all functions in schema extensions from public;
grant execute on all functions in schema extensions to rowhouse_owner, rowhouse_sealer;

-- Nothing that the owner creates is anybody's until it is granted.
alter default privileges for role rowhouse_owner revoke execute on functions from public;
alter default privileges for role rowhouse_owner revoke usage on types from public;
alter default privileges for role rowhouse_sealer revoke execute on functions from public;
alter default privileges for role rowhouse_dispatcher revoke execute on functions from public;

-- Large objects and advisory locks have no tenant: a stolen API session could hoard the first, and stall the ledger's
-- dispatchers with the second.
do $$
declare
  open_door regprocedure;
begin
  for open_door in
    select oid from pg_catalog.pg_proc
    where pronamespace = 'pg_catalog'::regnamespace
      and (proname ~ '^lo_' or proname in ('lowrite', 'loread') or proname ~ '^pg_(try_)?advisory_')
  loop
    execute format('revoke execute on function %s from public', open_door);
  end loop;
end
$$;
grant execute on function pg_catalog.pg_advisory_lock(bigint), pg_catalog.pg_try_advisory_lock(bigint),
  pg_catalog.pg_advisory_unlock(bigint), pg_catalog.pg_advisory_lock_shared(bigint),
  pg_catalog.pg_advisory_unlock_shared(bigint), pg_catalog.pg_advisory_xact_lock(bigint),
  pg_catalog.pg_advisory_xact_lock_shared(bigint), pg_catalog.pg_try_advisory_xact_lock(bigint)
  to rowhouse_owner, rowhouse_dispatcher, rowhouse_migrator, rowhouse_worker;

-- pg-boss keeps its own schema up to date; it may create nothing elsewhere.
create schema if not exists pgboss;
alter schema pgboss owner to rowhouse_worker;
