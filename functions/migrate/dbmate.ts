import type pg from 'pg';
import { connected } from '../database.ts';
import { fromDatabase, RowhouseError } from '../errors.ts';
import { checkServerVersion } from '../versions.ts';
import { checkMigrations } from './check.ts';
import { migrationsDir, readMigrations } from './files.ts';
import { failure, runDbmate, TABLE } from './run-dbmate.ts';

export interface MigrateOptions {
  dir?: string;
  /** Told what happens while it happens: a wait for another migration, each file. */
  onProgress?: (message: string) => void;
}

export interface MigrationStatus {
  version: string;
  /** The name of the file; null where the database knows a version that this folder does not hold. */
  file: string | null;
  applied: boolean;
}

/** Key of the advisory lock: "rowhouse" as eight ASCII bytes. dbmate has no lock of its own. */
const LOCK = '0x726f77686f757365';

async function appliedVersions(client: pg.Client): Promise<Set<string>> {
  const { rows: found } = await client.query('select to_regclass($1) is not null as present', [TABLE]);
  if (!found[0].present) return new Set();
  const { rows } = await client.query<{ version: string }>(`select version from ${TABLE}`);
  return new Set(rows.map(({ version }) => version));
}

async function atServer<T>(databaseUrl: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  try {
    return await connected(databaseUrl, work, 'rowhouse migrate');
  } catch (error) {
    throw fromDatabase(error);
  }
}

/** One migration run at a time in a database: the second waits here, then finds nothing to do. */
function locked<T>(databaseUrl: string, options: MigrateOptions, work: (client: pg.Client) => Promise<T>): Promise<T> {
  return atServer(databaseUrl, async (client) => {
    await client.query('set statement_timeout = 0');
    const { rows } = await client.query(`select pg_try_advisory_lock(${LOCK}::bigint) as taken`);
    if (!rows[0].taken) {
      options.onProgress?.('another migration runs in this database: waiting for it');
      await client.query(`select pg_advisory_lock(${LOCK}::bigint)`);
    }
    const reload = () => client.query("notify pgrst, 'reload schema'; notify pgrst, 'reload config'");
    try {
      const result = await work(client);
      await reload();
      return result;
    } catch (error) {
      // Files before the one that failed stay applied. The failure is the news, not a reload that fails after it.
      await reload().catch(() => {});
      throw error;
    }
  });
}

/**
 * Applies every migration that the database does not have yet, each in its transaction, with dbmate, under an advisory lock;
 * then tells PostgREST to reload.
 * @returns the files applied, in order.
 * @throws RowhouseError migration_invalid or server_version_unsafe (before anything ran), migration_failed,
 *   database_unavailable.
 */
export async function migrateUp(databaseUrl: string, options: MigrateOptions = {}): Promise<string[]> {
  const dir = options.dir ?? migrationsDir;
  const files = await checkMigrations(dir);
  return locked(databaseUrl, options, async (client) => {
    await checkServerVersion(client);
    const before = await appliedVersions(client);
    const pending = files.filter((file) => !before.has(file.slice(0, 14)));
    if (pending.length === 0) return [];
    const run = await runDbmate(databaseUrl, dir, ['migrate', '--strict'], (line) => {
      // "Applied" is printed before a failure, too: only the start of a file is told.
      const file = /^Applying: (.+)$/.exec(line)?.[1];
      if (file) options.onProgress?.(`applying ${file}`);
    });
    const after = await appliedVersions(client);
    const applied = pending.filter((file) => after.has(file.slice(0, 14)));
    const failed = pending.find((file) => !after.has(file.slice(0, 14)));
    if (run.status !== 0 || failed) throw failure(failed ?? 'dbmate', run.stderr, 1);
    return applied;
  });
}

/**
 * Takes back the last `steps` migrations, last first.
 * @returns the files taken back; fewer than `steps` where the database had no more.
 * @throws RowhouseError migration_invalid (before anything ran, also where the file of an applied version is gone),
 *   migration_failed, database_unavailable.
 */
export async function migrateDown(
  databaseUrl: string,
  { steps, ...options }: MigrateOptions & { steps: number },
): Promise<string[]> {
  const dir = options.dir ?? migrationsDir;
  await checkMigrations(dir);
  const migrations = new Map((await readMigrations(dir)).map((migration) => [migration.version, migration]));
  return locked(databaseUrl, options, async (client) => {
    const undone: string[] = [];
    for (const version of [...(await appliedVersions(client))].sort().reverse().slice(0, steps)) {
      const migration = migrations.get(version);
      if (!migration) {
        throw new RowhouseError('migration_invalid', {
          detail: `the database has version ${version}, and ${dir} holds no file of it`,
          hint: 'Run this from the release that applied it.',
        });
      }
      options.onProgress?.(`rolling back ${migration.file}`);
      const run = await runDbmate(databaseUrl, dir, ['rollback'], () => {});
      if (run.status !== 0) throw failure(migration.file, run.stderr, migration.downLine);
      undone.push(migration.file);
    }
    return undone;
  });
}

/**
 * Every migration that the folder or the database knows, in order, and whether it is applied.
 * @throws RowhouseError database_unavailable.
 */
export async function migrateStatus(databaseUrl: string, options: MigrateOptions = {}): Promise<MigrationStatus[]> {
  const migrations = await readMigrations(options.dir);
  const applied = await atServer(databaseUrl, appliedVersions);
  const files = new Map(migrations.map(({ version, file }) => [version, file]));
  const versions = [...new Set([...files.keys(), ...applied])].sort();
  return versions.map((version) => ({ version, file: files.get(version) ?? null, applied: applied.has(version) }));
}
