import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import { connected } from '../functions/database.ts';
import { applyBook, readBook } from '../functions/migrate/book.ts';
import { findPostgres, findPostgrest } from '../functions/stack/binaries.ts';
import { type Child, type ChildSpec, createChild } from '../functions/stack/child.ts';
import { initialiseCluster } from '../functions/stack/initdb.ts';
import { createDatabase, DATABASE, installRoles, prepareDatabase } from '../functions/stack/install.ts';
import { edgeChild, workerChild } from '../functions/stack/node-child.ts';
import { freePort } from '../functions/stack/ports.ts';
import { postgresChild, socketDirectory } from '../functions/stack/postgres.ts';
import { postgrestChild } from '../functions/stack/postgrest.ts';
import { createSecrets, type DatabaseUrls, databaseUrls } from '../functions/stack/secrets.ts';
import { generateKeyPair } from '../functions/worker/webhooks/outgoing/secrets.ts';

/** One database with PostgREST in front of it, and as many edges and workers as are asked for: what a fault run breaks. */
export interface ChaosCluster {
  database: DatabaseUrls;
  postgrest: string;
  /** Those that there is one of. What ends is not started again, but by who ended it. */
  children: Record<'postgres' | 'postgrest', Child>;
  /** Starts one more edge; `databaseUrl` is where it finds the database, such as a proxy. */
  startEdge(databaseUrl: string, env?: Record<string, string>): Promise<{ url: string; child: Child }>;
  /** Starts one more worker; all of them have the same key for webhooks, and deliver to this machine. */
  startWorker(env?: Record<string, string>): Promise<Child>;
  /** Ends everything and removes its files. */
  stop(): Promise<void>;
}

export interface ClusterOptions {
  /** Of PostgreSQL. */
  settings?: Record<string, string | number>;
  /** Gets every line that a child prints. */
  onLine?: (line: string) => void;
}

/** @param directory is made, and removed by stop() */
export async function openCluster(directory: string, options: ClusterOptions = {}): Promise<ChaosCluster> {
  const { settings = {}, onLine = () => {} } = options;
  mkdirSync(directory, { recursive: true });
  const { passwords } = createSecrets();
  const children: Child[] = [];
  const stop = async () => {
    for (const child of children.toReversed()) await child.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  const start = async (spec: ChildSpec): Promise<Child> => {
    const child = createChild(spec, { log: pino({ level: 'silent' }), restart: false, onLine });
    children.push(child);
    await child.start();
    return child;
  };
  try {
    const postgres = {
      binaries: findPostgres(),
      dataDirectory: join(directory, 'postgres'),
      runDirectory: join(directory, 'run'),
      port: await freePort(),
      superuserPassword: passwords.postgres,
      settings,
    };
    await initialiseCluster(postgres);
    const server = await start(postgresChild(postgres));
    const maintenance = databaseUrls(passwords, postgres.port, 'postgres').admin;
    const database = databaseUrls(passwords, postgres.port, DATABASE);
    await installRoles(maintenance, passwords);
    await createDatabase(maintenance, DATABASE);
    await prepareDatabase(database.admin);
    await connected(database.migrator, async (client) => applyBook(client, await readBook()));
    const port = await freePort();
    const postgrest = `http://127.0.0.1:${port}`;
    const gateway = await start(
      postgrestChild({
        binary: findPostgrest(process.env.POSTGREST_BIN),
        configuration: join(directory, 'postgrest.conf'),
        port,
        adminPort: await freePort(),
        databaseUrl: database.authenticator,
        socketDirectory: socketDirectory(postgres),
      }),
    );
    const storage = {
      storageDirectory: join(directory, 'storage'),
      storageSecret: randomBytes(24).toString('hex'),
    };
    const webhookKey = (await generateKeyPair()).privateKey;
    return {
      database,
      postgrest,
      children: { postgres: server, postgrest: gateway },
      async startEdge(databaseUrl, env = {}) {
        const edgePort = await freePort();
        const spec = edgeChild({ port: edgePort, databaseUrl, postgrestUrl: postgrest, ...storage });
        const child = await start({ ...spec, env: { ...spec.env, LOG_LEVEL: 'warn', ...env } });
        return { url: `http://127.0.0.1:${edgePort}`, child };
      },
      async startWorker(env = {}) {
        const spec = workerChild({ databaseUrl: database.worker, webhookKey, ...storage });
        const local = { WEBHOOK_ALLOW_HTTP: 'true', WEBHOOK_ALLOWED_NETWORKS: '127.0.0.0/8' };
        return start({ ...spec, env: { ...spec.env, LOG_LEVEL: 'warn', ...local, ...env } });
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
