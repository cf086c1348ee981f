--@ schema request
create schema request;
comment on schema request is 'The only reader of request settings: sealed context, headers, and the one way to raise an error.';
grant usage on schema request to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;

--@ schema auth
create schema auth;
comment on schema auth is 'Signing keys, tokens, and the gate that every session passes.';
-- `anon` and `authenticator` too: PostgREST calls the gate and the pre-config before any token is known to be good.
grant usage on schema auth to
  authenticator, anon, tenant_user, operator, rowhouse_worker, rowhouse_edge;
grant usage, create on schema auth to rowhouse_sealer;

--@ schema tenancy
create schema tenancy;
comment on schema tenancy is 'Tenants, their members and plans, and protect(), which puts a table behind the wall.';
grant usage on schema tenancy to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer, rowhouse_dispatcher;

--@ schema ledger
create schema ledger;
comment on schema ledger is 'One append-only row for every change of tenant data, and the cursors of those who follow it.';
grant usage on schema ledger to rowhouse_worker, rowhouse_edge;
grant usage, create on schema ledger to rowhouse_dispatcher;

--@ schema metering
create schema metering;
comment on schema metering is 'What tenants use: the token buckets that their rate limits are leased from.';
grant usage on schema metering to rowhouse_edge, tenant_user;

--@ schema tune
create schema tune;
comment on schema tune is 'What was made for single large tenants, and why. Nobody but the owner has anything to do here.';

--@ schema app
create schema app;
comment on schema app is 'Tenant data: every table here is protected.';
grant usage on schema app to tenant_user, rowhouse_worker, rowhouse_edge;

--@ schema webhook
create schema webhook;
comment on schema webhook is 'Where tenants'' events are sent: endpoints, their secrets, deliveries, and what workers do for them.';
grant usage on schema webhook to tenant_user, rowhouse_worker;
grant usage, create on schema webhook to rowhouse_dispatcher;

--@ schema v1
create schema v1;
comment on schema v1 is $$Rowhouse API

Views and functions over one tenant's data. Send a bearer token; every row that you see is your tenant's.$$;
grant usage on schema v1 to tenant_user, rowhouse_edge;

--@ schema admin
create schema admin;
comment on schema admin is $$Rowhouse operator API

The directory of tenants: metadata only, never what a tenant stores.$$;
grant usage on schema admin to operator;
