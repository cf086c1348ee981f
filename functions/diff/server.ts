import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pino from 'pino';
import { findPostgres } from '../stack/binaries.ts';
import { createChild } from '../stack/child.ts';
import { initialiseCluster } from '../stack/initdb.ts';
import { installRoles } from '../stack/install.ts';
import { freePort } from '../stack/ports.ts';
import { postgresChild } from '../stack/postgres.ts';
import { createSecrets, databaseUrls, type Passwords } from '../stack/secrets.ts';

/** Nothing in it outlives the comparison. */
const SETTINGS = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', autovacuum: 'off' };

/**
 * Runs `work` with the superuser's URL of a PostgreSQL of its own, with the roles of db/roles.sql and their passwords, and removes it
 * afterwards.
 * @throws RowhouseError stack_failed, binary_missing
 */
export async function withTemporaryServer<T>(work: (adminUrl: string, passwords: Passwords) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(path.join(tmpdir(), 'rowhouse-diff-'));
  const { passwords } = createSecrets();
  const postgres = {
    binaries: findPostgres(),
    dataDirectory: path.join(directory, 'postgres'),
    runDirectory: path.join(directory, 'run'),
    port: await freePort(),
    superuserPassword: passwords.postgres,
    settings: SETTINGS,
  };
  const server = createChild(postgresChild(postgres), {
    log: pino({ level: 'silent' }),
    restart: false,
    onLine: () => {},
  });
  const remove = async () => {
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  const interrupted = () => void remove().finally(() => process.exit(130));
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    await initialiseCluster(postgres, ['--no-sync']);
    await server.start();
    const adminUrl = databaseUrls(passwords, postgres.port, 'postgres').admin;
    await installRoles(adminUrl, passwords);
    return await work(adminUrl, passwords);
  } finally {
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
    await remove();
  }
}
