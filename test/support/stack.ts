import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pino from 'pino';
import { inject } from 'vitest';
import { connected, createPool, type Pool } from '../../functions/database.ts';
import { findPostgrest } from '../../functions/stack/binaries.ts';
import { type Child, type ChildSpec, createChild } from '../../functions/stack/child.ts';
import { createDatabase, prepareDatabase } from '../../functions/stack/install.ts';
import { edgeChild, workerChild } from '../../functions/stack/node-child.ts';
import { freePort } from '../../functions/stack/ports.ts';
import { postgrestChild } from '../../functions/stack/postgrest.ts';
import { type DatabaseUrls, databaseUrls } from '../../functions/stack/secrets.ts';
import { until } from '../../functions/stack/until.ts';
import type { Cluster } from './cluster.ts';
import { type Identities, identities } from './identities.ts';

export interface TestStackOptions {
  /** Default true: most questions are asked over HTTP. */
  postgrest?: boolean;
  /** Needs PostgREST. */
  edge?: boolean;
  worker?: boolean;
  /** Additions to the environment of edge and worker, such as STORAGE_MAX_BYTES. */
  env?: Record<string, string>;
}

export interface TestStack extends Identities {
  database: DatabaseUrls;
  /** Of the superuser: sees and changes everything. */
  admin: Pool;
  /** Of the migrator, who works as the owner of all objects. */
  migrator: Pool;
  /** Where PostgREST is. Raises when it was not asked for; so does `edge`. */
  readonly postgrest: string;
  readonly edge: string;
  /** Where edge and worker store files: one directory per stack. */
  storageDirectory: string;
  storageSecret: string;
  /** The lines that a child has printed, for tests that read its log. */
  lines(child: 'postgrest' | 'edge' | 'worker'): readonly string[];
  /** The process id of a child, for tests that kill it. It is not started again by itself. */
  pid(child: 'postgrest' | 'edge' | 'worker'): number;
  /** Starts a child again after it was killed. */
  restart(child: 'postgrest' | 'edge' | 'worker'): Promise<void>;
  stop(): Promise<void>;
}

/**
 * A database of its own, copied from the template, with the processes that were asked for in front of it.
 * Call it in `beforeAll`, and `stop()` in `afterAll`.
 */
export async function createTestStack(options: TestStackOptions = {}): Promise<TestStack> {
  const cluster = inject('cluster');
  if ('failure' in cluster) throw new Error(`the test cluster could not be made: ${cluster.failure}`);
  const name = `test_${randomBytes(6).toString('hex')}`;
  const directory = mkdtempSync(path.join(tmpdir(), 'rowhouse-stack-'));
  const database = databaseUrls(cluster.passwords, cluster.port, name);
  const storage = {
    storageDirectory: path.join(directory, 'storage'),
    storageSecret: randomBytes(24).toString('hex'),
  };
  await cloneDatabase(cluster, name);

  const specs = new Map<string, ChildSpec>();
  const children = new Map<string, Child>();
  const printed = new Map<string, string[]>();
  const urls: { postgrest?: string; edge?: string } = {};

  async function start(spec: ChildSpec): Promise<void> {
    specs.set(spec.name, spec);
    const lines = printed.get(spec.name) ?? [];
    printed.set(spec.name, lines);
    const child = createChild(
      { ...spec, env: { ...spec.env, ...options.env } },
      { log: pino({ level: 'silent' }), restart: false, onLine: (line) => lines.push(line) },
    );
    children.set(spec.name, child);
    await child.start();
  }

  const pools = {
    admin: createPool(database.admin, 'test-admin'),
    migrator: createPool(database.migrator, 'test-migrator'),
  };
  const stop = async () => {
    await Promise.all([...children.values()].toReversed().map((child) => child.stop()));
    await Promise.all([pools.admin.end(), pools.migrator.end()]);
    await dropDatabase(cluster, name);
    rmSync(directory, { recursive: true, force: true });
  };

  try {
    if (options.postgrest !== false || options.edge) {
      const port = await freePort();
      urls.postgrest = `http://127.0.0.1:${port}`;
      await start(
        postgrestChild({
          binary: findPostgrest(process.env.POSTGREST_BIN),
          configuration: path.join(directory, 'postgrest.conf'),
          port,
          adminPort: await freePort(),
          databaseUrl: database.authenticator,
          socketDirectory: cluster.socketDirectory ?? undefined,
          poolSize: 4,
        }),
      );
    }
    if (options.edge && urls.postgrest) {
      const port = await freePort();
      urls.edge = `http://127.0.0.1:${port}`;
      await start(edgeChild({ port, databaseUrl: database.edge, postgrestUrl: urls.postgrest, ...storage }));
    }
    if (options.worker) await start(workerChild({ databaseUrl: database.worker, ...storage }));
  } catch (error) {
    await stop();
    throw error;
  }

  return {
    database,
    ...pools,
    ...identities(pools.migrator),
    ...storage,
    get postgrest() {
      return urls.postgrest ?? missing('postgrest');
    },
    get edge() {
      return urls.edge ?? missing('edge');
    },
    lines(child) {
      return printed.get(child) ?? missing(child);
    },
    pid(child) {
      return children.get(child)?.pid() ?? missing(child);
    },
    async restart(child) {
      await start(specs.get(child) ?? missing(child));
    },
    stop,
  };
}

function missing(child: string): never {
  throw new Error(`this test stack has no ${child}: ask for it in createTestStack()`);
}

/**
 * Copies the template. Privileges and settings of a database are not copied, so db/database.sql runs again; it touches
 * catalogues that the whole cluster shares, which PostgreSQL does not let two sessions change at once.
 */
async function cloneDatabase(cluster: Cluster, name: string): Promise<void> {
  const maintenance = databaseUrls(cluster.passwords, cluster.port, 'postgres').admin;
  await connected(maintenance, async (client) => {
    await client.query(`select pg_advisory_lock(hashtext('clone'))`);
    await createDatabase(maintenance, name, cluster.template);
    await prepareDatabase(databaseUrls(cluster.passwords, cluster.port, name).admin);
  });
}

/** Somebody came into the database meanwhile. */
const IN_USE = '55006';

/** So that a run keeps a few databases at a time, not a hundred. Where a test has left somebody in it, it stays until the run ends. */
async function dropDatabase(cluster: Cluster, name: string): Promise<void> {
  await connected(databaseUrls(cluster.passwords, cluster.port, 'postgres').admin, async (client) => {
    const unused = async () =>
      (await client.query('select from pg_stat_activity where datname = $1 limit 1', [name])).rowCount === 0;
    if (!(await until(unused, { timeoutMs: 500 }))) return;
    await client.query(`drop database if exists ${name}`).catch((error: { code?: string }) => {
      if (error.code !== IN_USE) throw error;
    });
  });
}
