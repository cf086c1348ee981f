import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import { programEnvironment } from '../environment.ts';
import { RowhouseError } from '../errors.ts';
import { diesWithParent, giveTo, postgresAccount } from './account.ts';
import type { PostgresBinaries } from './binaries.ts';
import type { ChildSpec } from './child.ts';
import { clearLeftovers, POSTGRES_STOP } from './postmaster.ts';

export interface PostgresOptions {
  binaries: PostgresBinaries;
  dataDirectory: string;
  /** Holds the socket, where its path is short enough for one. */
  runDirectory: string;
  port: number;
  superuserPassword: string;
  /** Replace or add to what is set for a stack. */
  settings?: Record<string, string | number>;
}

/** Written into rowhouse.conf at each start; `alter system` overrides them. */
const SETTINGS: Record<string, string | number> = {
  max_connections: 100,
  shared_buffers: '192MB',
  max_wal_size: '2GB',
  // Segments are used again instead of being filled with zeros first, which was a tenth of what a large insert cost.
  min_wal_size: '1GB',
  // What PostgreSQL takes by itself where shared_buffers are those of production: transactions of 10 MB do not wait for their own log.
  wal_buffers: '16MB',
  random_page_cost: 1.1,
  jit: 'off',
  // A statement over a few tables of 32 partitions locks each of them and their indexes.
  max_locks_per_transaction: 256,
  password_encryption: 'scram-sha-256',
  log_statement: 'none',
  log_line_prefix: '%m [%p] %q%u@%d ',
  lc_messages: 'C',
  log_timezone: 'UTC',
  timezone: 'UTC',
};

/** After a crash it replays up to max_wal_size before it answers; ending it then would only begin that again. */
const RECOVERY_MS = 10 * 60_000;
export const CONFIGURATION = 'rowhouse.conf';
/** `sun_path` holds 104 bytes on macOS, 108 on Linux, its closing zero included. */
const SOCKET_PATH_MAX = 103;

/** Where the socket is, or undefined where the directory's path is too long for one. */
export function socketDirectory(options: Pick<PostgresOptions, 'runDirectory' | 'port'>): string | undefined {
  const directory = path.resolve(options.runDirectory);
  return Buffer.byteLength(path.join(directory, `.s.PGSQL.${options.port}`)) <= SOCKET_PATH_MAX ? directory : undefined;
}

/** The server as a child: leftovers cleared before each start, ready when it answers a query. */
export function postgresChild(options: PostgresOptions): ChildSpec {
  const { binaries, dataDirectory, port } = options;
  const account = postgresAccount(dataDirectory);
  const sockets = socketDirectory(options);
  return {
    name: 'postgres',
    command: [
      ...account.prefix,
      ...diesWithParent('INT'),
      binaries.postgres,
      ...['-D', path.resolve(dataDirectory), '-p', String(port)],
      ...['-c', 'listen_addresses=127.0.0.1', '-c', `unix_socket_directories=${sockets ?? ''}`],
      ...['-c', 'logging_collector=off'],
    ],
    env: programEnvironment(),
    ids: account.ids,
    async prepare() {
      await clearLeftovers(dataDirectory);
      mkdirSync(options.runDirectory, { recursive: true, mode: 0o700 });
      const configuration = path.join(dataDirectory, CONFIGURATION);
      writeFileSync(configuration, render({ ...SETTINGS, ...options.settings }), { mode: 0o600 });
      giveTo(account, configuration, options.runDirectory);
    },
    isReady: () => answers(port, options.superuserPassword),
    readyTimeoutMs: RECOVERY_MS,
    stopSequence: POSTGRES_STOP,
  };
}

async function answers(port: number, password: string): Promise<boolean> {
  const client = new pg.Client({
    ...{ host: '127.0.0.1', port, user: 'postgres', password, database: 'postgres', ssl: false },
    connectionTimeoutMillis: 2000,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === '28P01') {
      throw new RowhouseError('stack_failed', {
        detail: 'PostgreSQL does not accept the password in secrets.json.',
        hint: 'Put back the secrets.json that belongs to this data, or begin anew with --fresh, which removes the data.',
        cause: error,
      });
    }
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}

function render(settings: Record<string, string | number>): string {
  const line = ([name, value]: [string, string | number]) =>
    `${name} = ${typeof value === 'number' ? value : `'${value.replaceAll("'", "''")}'`}\n`;
  return Object.entries(settings).map(line).join('');
}
