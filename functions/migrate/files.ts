import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RowhouseError } from '../errors.ts';
import { packageRoot } from '../paths.ts';

/** One migration file, cut into its halves as dbmate cuts it. */
export interface MigrationFile {
  /** 14 digits: YYYYMMDDHHMMSS in UTC. */
  version: string;
  file: string;
  source: string;
  up: string;
  down: string;
  /** The line of the file on which the down half begins. */
  downLine: number;
  /** `transaction:false` was given: the up half runs outside a transaction. */
  upInTransaction: boolean;
  downInTransaction: boolean;
}

export const migrationsDir: string = join(packageRoot, 'db/migrations');

const HALVES = /^--\s*migrate:(up|down)[ \t]*(.*)$/gm;

/**
 * Cuts a migration into its halves.
 * @throws RowhouseError migration_invalid unless it has one `-- migrate:up` and after it one `-- migrate:down`.
 */
export function parseMigration(file: string, source: string): MigrationFile {
  const marks = [...source.matchAll(HALVES)];
  const [up, down] = marks;
  if (marks.length !== 2 || up?.[1] !== 'up' || down?.[1] !== 'down') {
    throw new RowhouseError('migration_invalid', {
      detail: `${file} needs one "-- migrate:up" and, after it, one "-- migrate:down"`,
    });
  }
  const options = (mark: RegExpExecArray) => !/transaction:\s*false/.test(mark[2] ?? '');
  return {
    version: /^\d*/.exec(file)?.[0] ?? '',
    file,
    source,
    up: source.slice(up.index + up[0].length, down.index).trim(),
    down: source.slice(down.index + down[0].length).trim(),
    downLine: source.slice(0, down.index).split('\n').length,
    upInTransaction: options(up),
    downInTransaction: options(down),
  };
}

/** The names of the migration files in the order in which dbmate runs them. An absent folder holds none. */
export async function listMigrations(dir: string = migrationsDir): Promise<string[]> {
  const names = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names.filter((name) => name.endsWith('.sql')).sort();
}

/**
 * Reads all migrations in order.
 * @throws RowhouseError migration_invalid for a file without its two halves.
 */
export async function readMigrations(dir: string = migrationsDir): Promise<MigrationFile[]> {
  const names = await listMigrations(dir);
  return Promise.all(names.map(async (name) => parseMigration(name, await readFile(join(dir, name), 'utf8'))));
}
