#!/bin/sh
# Run by the PostgreSQL image when it first starts: the passwords of the login roles, from the environment.
set -eu
psql -v ON_ERROR_STOP=1 --username postgres \
  -v migrator="$MIGRATOR_PASSWORD" -v authenticator="$AUTHENTICATOR_PASSWORD" -v worker="$WORKER_PASSWORD" -v edge="$EDGE_PASSWORD" <<'SQL'
alter role rowhouse_migrator password :'migrator';
alter role authenticator password :'authenticator';
alter role rowhouse_worker password :'worker';
alter role rowhouse_edge password :'edge';
SQL
