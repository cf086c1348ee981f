import { programEnvironment } from '../environment.ts';
import { diesWithParent } from './account.ts';
import type { ChildSpec } from './child.ts';
import { writePrivate } from './state.ts';
import { untilOk } from './until.ts';

export interface PostgrestOptions {
  /** Default postgrest: a second one in the same stack needs another. */
  name?: string;
  binary: string;
  /** Where the configuration file goes; it holds the password. */
  configuration: string;
  port: number;
  adminPort: number;
  /** The authenticator's. */
  databaseUrl: string;
  /** PostgreSQL's socket, which is quicker than TCP. */
  socketDirectory?: string | undefined;
  poolSize?: number;
  /** Lines of its configuration besides ours. */
  settings?: Readonly<Record<string, string | number | boolean>>;
}

/** What is served; the first is the default. */
export const API_SCHEMAS: readonly string[] = ['v1', 'admin'];

/** PostgREST as a child, ready when its schema cache is loaded. Keys come from the database, through auth.pre_config. */
export function postgrestChild(options: PostgrestOptions): ChildSpec {
  return {
    name: options.name ?? 'postgrest',
    command: [...diesWithParent('TERM'), options.binary, options.configuration],
    // A larger nursery: fewer collections per request. Two cores gain from it, one does not lose.
    env: programEnvironment({ GHCRTS: '-A64m' }),
    prepare: async () => writePrivate(options.configuration, render(options)),
    isReady: () => untilOk(`http://127.0.0.1:${options.adminPort}/ready`, { timeoutMs: 0 }),
    stopSequence: [
      ['SIGTERM', 5000],
      ['SIGKILL', 5000],
    ],
  };
}

function render(options: PostgrestOptions): string {
  const settings: Record<string, string | number | boolean> = {
    'db-uri': overSocket(options.databaseUrl, options.socketDirectory),
    'db-schemas': API_SCHEMAS.join(','),
    'db-anon-role': 'anon',
    'db-pre-request': 'auth.pre_request',
    'db-pre-config': 'auth.pre_config',
    'db-channel-enabled': true,
    'db-pool': options.poolSize ?? 6,
    'jwt-aud': 'rowhouse',
    'jwt-role-claim-key': '.role',
    'openapi-mode': 'follow-privileges',
    'server-host': '127.0.0.1',
    'server-port': options.port,
    'admin-server-port': options.adminPort,
    'log-level': 'warn',
    ...options.settings,
  };
  const line = ([name, value]: [string, string | number | boolean]) => `${name} = ${JSON.stringify(value)}\n`;
  return Object.entries(settings).map(line).join('');
}

function overSocket(databaseUrl: string, directory: string | undefined): string {
  if (directory === undefined) return databaseUrl;
  const { username, password, port, pathname } = new URL(databaseUrl);
  return `postgresql://${username}:${password}@${pathname}?host=${encodeURIComponent(directory)}&port=${port}`;
}
