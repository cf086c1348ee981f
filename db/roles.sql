-- The cluster level: roles and what no migration may grant. Run once per cluster by a superuser; safe to repeat.
-- Login roles get their passwords from whoever installs (`alter role … password …`), never from a file.

do $$
declare
  wanted record;
begin
  for wanted in
    select * from (values
      ('rowhouse_owner',    'nologin'),              -- owns every object; no BYPASSRLS, and RLS is forced on it
      ('rowhouse_sealer',   'nologin'),              -- the only writer of the protected variable
      ('rowhouse_dispatcher', 'nologin'),            -- the only reader of every tenant's ledger
      ('anon',              'nologin'),
      ('tenant_user',       'nologin'),
      ('operator',          'nologin'),
      ('authenticator',     'login noinherit'),      -- PostgREST
      ('rowhouse_migrator', 'login noinherit'),      -- dbmate and the CLI
      ('rowhouse_worker',   'login noinherit'),
      ('rowhouse_edge',     'login noinherit')
    ) as roles (name, attributes)
  loop
    if not exists (select from pg_catalog.pg_roles where rolname = wanted.name) then
      execute format('create role %I %s', wanted.name, wanted.attributes);
    end if;
    execute format('alter role %I %s nosuperuser nocreatedb nocreaterole noreplication nobypassrls',
      wanted.name, wanted.attributes);
  end loop;
end
$$;

grant anon, tenant_user, operator to authenticator with inherit false, set true;
grant rowhouse_owner to rowhouse_migrator with inherit false, set true;
grant tenant_user to rowhouse_edge with inherit false, set true;

-- The owner makes functions as these two; it does not have their privileges.
grant rowhouse_sealer, rowhouse_dispatcher to rowhouse_owner with inherit false, set true;

-- The seal: `backtrace_functions` can be read by all and set by superusers alone; its own effect is a back trace in the
-- log when an internal C function of that name raises, and no such function is called `t_…`. Some managed servers refuse this
-- grant: request.seal() then verifies the token in each statement instead.
do $$
begin
  grant set on parameter backtrace_functions to rowhouse_sealer;
exception when insufficient_privilege then
  raise notice 'backtrace_functions cannot be granted here: the tenant context will be verified in each statement';
end
$$;

-- Nobody of ours has anything to do in the other databases.
do $$
begin
  revoke connect on database postgres, template1 from public;
exception when insufficient_privilege or undefined_object or invalid_catalog_name then
  raise notice 'connecting to postgres and template1 is left as it is: this role does not own them';
end
$$;

-- PostgREST passes LIMIT as a parameter, which makes PostgreSQL re-plan every partition on each request:
-- 4.2 ms of planning on 32 partitions, 696 against 1,328 requests/s.
alter role authenticator set plan_cache_mode = force_generic_plan;
-- No plan that is made for large tenants starts workers for a small one.
alter role authenticator set max_parallel_workers_per_gather = 0;
-- A plan that is kept expects a LIMIT to be a tenth of the rows, and a search by key to look through every partition: it would hash all of a
-- tenant's rows to show 20 of them with a row of another table each, 1,300 times as long where there are 200,000. Keys lead with the tenant
-- everywhere, and a loop over them takes at most three times a hash join. PostgREST sets this for each request of the role; for its login
-- it would hold for the queries that read the catalogue, too, which take five times as long without hashes.
alter role tenant_user set enable_hashjoin = off;
alter role tenant_user set enable_mergejoin = off;
alter role authenticator set statement_timeout = '15s';
alter role authenticator set idle_in_transaction_session_timeout = '30s';
alter role rowhouse_edge set statement_timeout = '15s';
alter role rowhouse_edge set idle_in_transaction_session_timeout = '30s';
alter role rowhouse_worker set idle_in_transaction_session_timeout = '10min';
alter role rowhouse_migrator set role = 'rowhouse_owner';
