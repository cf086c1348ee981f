import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PgBoss } from 'pg-boss';
import pino from 'pino';
import type { TestProject } from 'vitest/node';
import { connected } from '../../functions/database.ts';
import { applyBook, readBook } from '../../functions/migrate/book.ts';
import { migrateUp } from '../../functions/migrate/dbmate.ts';
import { findPostgres } from '../../functions/stack/binaries.ts';
import { type Child, createChild } from '../../functions/stack/child.ts';
import { initialiseCluster } from '../../functions/stack/initdb.ts';
import { createDatabase, installRoles, prepareDatabase } from '../../functions/stack/install.ts';
import { freePort } from '../../functions/stack/ports.ts';
import { postgresChild, socketDirectory } from '../../functions/stack/postgres.ts';
import { createSecrets, databaseUrls, type Passwords } from '../../functions/stack/secrets.ts';

/** The one PostgreSQL of a test run; each test file works in a copy of its template database. */
export interface Cluster {
  port: number;
  socketDirectory: string | null;
  passwords: Passwords;
  template: string;
}

declare module 'vitest' {
  interface ProvidedContext {
    /** What went wrong, where the cluster could not be made: files that need none still run. */
    cluster: Cluster | { failure: string };
  }
}

const TEMPLATE = 'rowhouse_template';

/** Nothing in a test run has to survive a power cut. */
const SETTINGS = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  autovacuum: 'off',
  max_connections: 200,
  // It may be in memory, beside everything else: test/support/quick.ts.
  max_wal_size: '1GB',
  max_prepared_transactions: 4,
  // Loaded, not installed: tests of `rowhouse tune` create the extension in their own database.
  shared_preload_libraries: 'pg_stat_statements',
};

/** Starts PostgreSQL and builds the template, before the first test file. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = mkdtempSync(path.join(tmpdir(), 'rowhouse-test-'));
  let server: Child | undefined;
  try {
    const { passwords } = createSecrets();
    const postgres = {
      binaries: findPostgres(),
      dataDirectory: path.join(directory, 'postgres'),
      runDirectory: path.join(directory, 'run'),
      port: await freePort(),
      superuserPassword: passwords.postgres,
      settings: SETTINGS,
    };
    await initialiseCluster(postgres, ['--no-sync']);
    const log = pino({ level: 'silent' });
    server = createChild(postgresChild(postgres), { log, restart: false, onLine: () => {} });
    await server.start();
    await buildTemplate(postgres.port, passwords);
    project.provide('cluster', {
      port: postgres.port,
      socketDirectory: socketDirectory(postgres) ?? null,
      passwords,
      template: TEMPLATE,
    });
  } catch (error) {
    const { message, stack } = error as Error;
    process.stderr.write(`The test cluster could not be made: ${message}\n`);
    project.provide('cluster', { failure: stack ?? message });
  }
  return async () => {
    await server?.stop();
    rmSync(directory, { recursive: true, force: true });
  };
}

async function buildTemplate(port: number, passwords: Passwords): Promise<void> {
  const maintenance = databaseUrls(passwords, port, 'postgres').admin;
  const urls = databaseUrls(passwords, port, TEMPLATE);
  await installRoles(maintenance, passwords);
  // As on a server that does not let us grant the parameter: npm run test:verified.
  if (process.env.ROWHOUSE_TEST_SEAL === 'verified') {
    await connected(maintenance, (client) =>
      client.query('revoke set on parameter backtrace_functions from rowhouse_sealer'),
    );
  }
  await createDatabase(maintenance, TEMPLATE);
  await prepareDatabase(urls.admin);
  // While an object is being written, before its migration is: ROWHOUSE_TEST_SCHEMA=book, or the index of another book.
  const book = process.env.ROWHOUSE_TEST_SCHEMA;
  if (book) {
    const objects = await (book === 'book' ? readBook() : readBook(book));
    await connected(urls.migrator, (client) => applyBook(client, objects));
  } else {
    await migrateUp(urls.migrator);
  }
  // pg-boss makes its tables when it first starts: once here, not in each copy.
  const boss = new PgBoss({ connectionString: urls.worker, schema: 'pgboss', createSchema: false, supervise: false });
  await boss.start();
  await boss.stop({ graceful: false });
}
