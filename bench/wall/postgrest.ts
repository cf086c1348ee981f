import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import { readConfig, stackSchema } from '../../functions/config.ts';
import { findPostgrest } from '../../functions/stack/binaries.ts';
import { createChild } from '../../functions/stack/child.ts';
import { freePort } from '../../functions/stack/ports.ts';
import { socketDirectory } from '../../functions/stack/postgres.ts';
import { API_SCHEMAS, type PostgrestOptions, postgrestChild } from '../../functions/stack/postgrest.ts';
import type { DatabaseUrls } from '../../functions/stack/secrets.ts';
import { stateDirectory } from '../../functions/stack/state.ts';

export interface OwnPostgrest {
  origin: string;
  pid: number;
  stop(): Promise<void>;
}

export interface OwnPostgrestOptions {
  name: string;
  /** Served besides the API's own, which stay the default. */
  schemas: readonly string[];
  /** False: tokens are verified by PostgREST alone, and nothing runs before the statement. */
  gated: boolean;
  /** Default: the stack's authenticator, over the socket. */
  databaseUrl?: string;
  poolSize?: number;
}

/** What of a stack is needed to start another PostgREST for it. */
export interface Beside {
  info: { database: Pick<DatabaseUrls, 'authenticator'> };
  /** Of its state; where PostgreSQL's socket is. */
  directory: string;
}

/** A PostgREST beside the stack's: its binary and its settings, but for what is asked for here. */
export async function openPostgrest(stack: Beside, options: OwnPostgrestOptions): Promise<OwnPostgrest> {
  const { name, schemas, gated, databaseUrl, poolSize } = options;
  const { authenticator } = stack.info.database;
  const { run } = stateDirectory(stack.directory);
  const port = await freePort();
  mkdirSync(run, { recursive: true });
  const settings: PostgrestOptions['settings'] = {
    'db-schemas': [...API_SCHEMAS, ...schemas].join(','),
    ...(gated ? {} : { 'db-pre-request': '' }),
  };
  const sockets = socketDirectory({ runDirectory: run, port: Number(new URL(authenticator).port) });
  const spec = postgrestChild({
    name,
    binary: findPostgrest(readConfig(stackSchema).POSTGREST_BIN),
    configuration: join(run, `${name}.conf`),
    port,
    adminPort: await freePort(),
    databaseUrl: databaseUrl ?? authenticator,
    socketDirectory: databaseUrl === undefined ? sockets : undefined,
    ...(poolSize === undefined ? {} : { poolSize }),
    settings,
  });
  const child = createChild(spec, { log: pino({ level: 'silent' }), restart: false, onLine: () => {} });
  await child.start();
  return { origin: `http://127.0.0.1:${port}`, pid: child.pid() as number, stop: () => child.stop() };
}
