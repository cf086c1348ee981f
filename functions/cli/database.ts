import { type Command, Option } from 'commander';
import type pg from 'pg';
import { cliSchema, readConfig } from '../config.ts';
import { connected } from '../database.ts';
import { fromDatabase, RowhouseError } from '../errors.ts';
import type { DatabaseUrls } from '../stack/secrets.ts';
import { readJson, stateDirectory } from '../stack/state.ts';
import type { StackInfo } from '../stack/supervisor.ts';

export interface DatabaseOptions {
  database?: string;
  stateDir?: string;
  json?: boolean;
}

/** Where a stack keeps its state unless `--state-dir` says otherwise. */
export const STATE_DIRECTORY = '.rowhouse';

/** Adds `--database`, `--state-dir` and `--json`. */
export function withDatabaseOptions(
  command: Command,
  says = 'database to work on (default: DATABASE_URL, else the stack that runs here)',
): Command {
  return command
    .option('--database <url>', says)
    .addOption(
      new Option('--state-dir <dir>', `the stack that is meant (default: ${STATE_DIRECTORY})`).conflicts('database'),
    )
    .option('--json', 'print the result, and an error, as JSON');
}

/** The URL that was named, if one was: a stack that is named goes before DATABASE_URL. */
export function namedDatabase({ database, stateDir }: DatabaseOptions): string | undefined {
  return database ?? (stateDir === undefined ? readConfig(cliSchema).DATABASE_URL : undefined);
}

/** @throws RowhouseError stack_missing, whose hint says what to name `instead` */
export function runningStack(directory = STATE_DIRECTORY, instead = 'another with --state-dir'): StackInfo {
  const stack = readJson<StackInfo>(stateDirectory(directory).stack);
  if (stack) return stack;
  throw new RowhouseError('stack_missing', {
    detail: `no stack runs in ${directory}`,
    hint: `Start it in another terminal: npm start   or name ${instead}.`,
  });
}

/**
 * The URL to work on: the option, DATABASE_URL, or the stack that runs in this directory or the one that is named.
 * @param login which of the stack's logins, where it is the stack
 * @throws RowhouseError usage_invalid, stack_missing
 */
export function databaseUrl(options: DatabaseOptions, login: keyof DatabaseUrls = 'migrator'): string {
  const given = namedDatabase(options);
  if (given !== undefined) {
    // The URL may hold a password, so it is never printed.
    if (URL.canParse(given) && /^postgres(ql)?:$/.test(new URL(given).protocol)) return given;
    throw new RowhouseError('usage_invalid', {
      detail: `${options.database ? '--database' : 'DATABASE_URL'} is not a PostgreSQL URL`,
      hint: 'postgres://user:password@host:5432/database',
    });
  }
  const instead = 'another with --state-dir, or a database with --database or DATABASE_URL';
  return runningStack(options.stateDir, instead).database[login];
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
