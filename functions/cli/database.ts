import type { Command } from 'commander';
import type pg from 'pg';
import { cliSchema, readConfig } from '../config.ts';
import { connected } from '../database.ts';
import { fromDatabase, RowhouseError } from '../errors.ts';
import type { DatabaseUrls } from '../stack/secrets.ts';
import { readJson, stateDirectory } from '../stack/state.ts';
import type { StackInfo } from '../stack/supervisor.ts';

export interface DatabaseOptions {
  database?: string;
  json?: boolean;
}

/** Adds `--database` and `--json`. */
export function withDatabaseOptions(command: Command): Command {
  return command
    .option('--database <url>', 'database to work on (default: DATABASE_URL, else the stack that runs here)')
    .option('--json', 'print the result, and an error, as JSON');
}

/**
 * The URL to work on: the option, DATABASE_URL, or the stack that runs in this directory.
 * @param login which of the stack's logins, where it is the stack
 * @throws RowhouseError usage_invalid, database_unavailable
 */
export function databaseUrl(options: DatabaseOptions, login: keyof DatabaseUrls = 'migrator'): string {
  const given = options.database ?? readConfig(cliSchema).DATABASE_URL;
  if (given !== undefined) {
    // The URL may hold a password, so it is never printed.
    if (URL.canParse(given) && /^postgres(ql)?:$/.test(new URL(given).protocol)) return given;
    throw new RowhouseError('usage_invalid', {
      detail: `${options.database ? '--database' : 'DATABASE_URL'} is not a PostgreSQL URL`,
      hint: 'postgres://user:password@host:5432/database',
    });
  }
  const stack = readJson<StackInfo>(stateDirectory('.rowhouse').stack);
  if (stack) return stack.database[login];
  throw new RowhouseError('database_unavailable', {
    detail: 'no database was named, and no stack runs in this directory',
    hint: 'Start one with: npm start   or name a database with --database or DATABASE_URL.',
  });
}

/** Undefined schema, table or function: the migrations have not run here. */
const NOT_MIGRATED = new Set(['3F000', '42P01', '42883']);

function explain(error: unknown, url: string): unknown {
  const known = fromDatabase(error);
  const code = (error as { code?: string }).code ?? '';
  const { hostname, port, pathname } = new URL(url);
  const place = `${hostname}:${port || '5432'}${pathname}`;
  if (NOT_MIGRATED.has(code)) {
    return new RowhouseError('schema_missing', {
      detail: `${place}: ${(error as Error).message}`,
      hint: 'Run: npx rowhouse migrate up',
      cause: error,
    });
  }
  if (code === '42501') {
    return new RowhouseError('permission_denied', {
      detail: `${place}: ${(error as Error).message}`,
      hint: 'Connect as rowhouse_migrator, or as another login that works as rowhouse_owner.',
      cause: error,
    });
  }
  const unreachable = known instanceof RowhouseError && known.code === 'database_unavailable';
  // 28: the login was refused; 3D000: there is no such database.
  if (unreachable || /^28|^3D000/.test(code)) {
    return new RowhouseError('database_unavailable', {
      detail: `${place}: ${(error as Error).message || 'does not answer'}`,
      hint: 'Start the stack with: npm start   or name another database with --database.',
      cause: error,
    });
  }
  return known;
}

/**
 * Runs `work` with the URL that the options name, and makes its errors say where and what to do.
 * @throws RowhouseError
 */
export async function atDatabase<T>(
  options: DatabaseOptions,
  work: (url: string) => Promise<T>,
  login?: keyof DatabaseUrls,
): Promise<T> {
  const url = databaseUrl(options, login);
  try {
    return await work(url);
  } catch (error) {
    throw explain(
      error instanceof RowhouseError && error.code === 'database_unavailable' ? (error.cause ?? error) : error,
      url,
    );
  }
}

/** Runs `work` on one connection, in one transaction. */
export function inDatabase<T>(options: DatabaseOptions, work: (client: pg.Client) => Promise<T>): Promise<T> {
  return atDatabase(options, (url) =>
    connected(url, async (client) => {
      await client.query('begin');
      const result = await work(client);
      await client.query('commit');
      return result;
    }),
  );
}
