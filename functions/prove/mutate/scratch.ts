import { randomBytes } from 'node:crypto';
import { connected } from '../../database.ts';
import { withTemporaryServer } from '../../diff/server.ts';
import { RowhouseError } from '../../errors.ts';
import { migrateUp } from '../../migrate/dbmate.ts';
import { createDatabase, prepareDatabase } from '../../stack/install.ts';
import { type DatabaseUrls, databaseUrls } from '../../stack/secrets.ts';

/** Copies of a schema, made to be damaged. */
export interface ScratchServer {
  /** Nothing is changed in it: what mutants are generated from, and copies are made of. */
  pristine: DatabaseUrls;
  /** Another copy. */
  copy(): Promise<DatabaseUrls>;
}

export interface ScratchOptions {
  /** A superuser's URL of the database whose schema is copied, on its own server. Default: the migrations, on a temporary server. */
  database?: string | undefined;
  /** URLs of the logins on that server; the database that they name does not matter. */
  sessions?: readonly string[];
  onProgress?: (message: string) => void;
}

const randomName = () => `rowhouse_mutate_${randomBytes(5).toString('hex')}`;

function at(url: string, name: string): string {
  const moved = new URL(url);
  moved.pathname = `/${name}`;
  return moved.href;
}

/** The logins' URLs by the name in each. */
function loginUrls(database: string, sessions: readonly string[]): DatabaseUrls {
  const find = (login: string) => sessions.find((url) => decodeURIComponent(new URL(url).username) === login);
  const urls = {
    authenticator: find('authenticator'),
    worker: find('rowhouse_worker'),
    edge: find('rowhouse_edge'),
    migrator: find('rowhouse_migrator'),
  };
  const missing = Object.entries(urls).flatMap(([name, url]) => (url ? [] : [name]));
  if (missing.length > 0) {
    throw new RowhouseError('usage_invalid', {
      detail: `The copy is attacked as each login, and there is no URL of: ${missing.join(', ')}.`,
      hint: 'Give each with --session; or no --database: then the migrations are built on a PostgreSQL of its own.',
    });
  }
  return { admin: database, ...(urls as Record<keyof typeof urls, string>) };
}

async function refuseUnfit(database: string): Promise<void> {
  const { rows } = await connected(database, (client) =>
    client.query<{ superuser: boolean }>('select rolsuper as superuser from pg_roles where rolname = current_user'),
  );
  if (rows[0]?.superuser) return;
  throw new RowhouseError('permission_denied', {
    detail: 'Roles are weakened in transactions that are rolled back, and databases are copied: this login may not.',
    hint: 'Name a superuser of a development server with --database, or none.',
  });
}

/** PostgreSQL copies a database that nobody is connected to. */
async function cloneDatabase(source: string, name: string): Promise<void> {
  const { pathname } = new URL(source);
  try {
    await createDatabase(at(source, 'postgres'), name, decodeURIComponent(pathname.slice(1)));
  } catch (error) {
    if ((error as { code?: string }).code !== '55006') throw error;
    throw new RowhouseError('conflict', {
      detail: `${pathname.slice(1)} is in use, and PostgreSQL copies a database only while nobody is connected to it.`,
      hint: 'Stop what works there, or give no --database: then the migrations are built on a PostgreSQL of its own.',
      cause: error,
    });
  }
  // Privileges and settings of a database are not copied.
  await prepareDatabase(at(source, name));
}

async function onServer<T>(
  urls: DatabaseUrls,
  build: (name: string) => Promise<void>,
  work: (server: ScratchServer) => Promise<T>,
): Promise<T> {
  const made: string[] = [];
  const named = (name: string): DatabaseUrls => ({
    admin: at(urls.admin, name),
    migrator: at(urls.migrator, name),
    authenticator: at(urls.authenticator, name),
    worker: at(urls.worker, name),
    edge: at(urls.edge, name),
  });
  const add = () => {
    const name = randomName();
    made.push(name);
    return name;
  };
  try {
    const pristine = add();
    await build(pristine);
    return await work({
      pristine: named(pristine),
      async copy() {
        const name = add();
        await cloneDatabase(at(urls.admin, pristine), name);
        return named(name);
      },
    });
  } finally {
    await connected(at(urls.admin, 'postgres'), async (client) => {
      for (const name of made) await client.query(`drop database if exists ${name} with (force)`);
    });
  }
}

/**
 * Runs `work` with copies of a schema that may be damaged, and removes them afterwards.
 * @throws RowhouseError usage_invalid, permission_denied, conflict; stack_failed, binary_missing, migration_failed
 */
export async function withScratch<T>(options: ScratchOptions, work: (server: ScratchServer) => Promise<T>): Promise<T> {
  const { database, sessions = [], onProgress } = options;
  if (database !== undefined) {
    const urls = loginUrls(database, sessions);
    await refuseUnfit(database);
    onProgress?.('copying the database');
    return onServer(urls, (name) => cloneDatabase(database, name), work);
  }
  onProgress?.('starting a temporary PostgreSQL, and building the migrations there');
  return withTemporaryServer((adminUrl, passwords) => {
    const urls = databaseUrls(passwords, Number(new URL(adminUrl).port), 'postgres');
    const build = async (name: string) => {
      await createDatabase(adminUrl, name);
      await prepareDatabase(at(adminUrl, name));
      await migrateUp(at(urls.migrator, name));
    };
    return onServer(urls, build, work);
  });
}
