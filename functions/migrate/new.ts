import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RowhouseError } from '../errors.ts';
import { type BookObject, bookIndex, readBook } from './book.ts';
import { type Change, inLoadOrder } from './changes.ts';
import { composeMigration, EMPTY_MIGRATION } from './compose.ts';
import { migrationsDir, readMigrations } from './files.ts';
import { readHistory } from './history.ts';

export interface NewOptions {
  /** Write an empty skeleton instead of what changed in the book. */
  empty?: boolean;
  /** Write this, composed elsewhere. */
  source?: string;
  /** From an empty history: one migration for each run of objects of the same concern folder. */
  split?: boolean;
  index?: string;
  dir?: string;
}

export interface NewMigration {
  file: string;
  changes: Change[];
}

function toVersion(time: Date): string {
  return time.toISOString().replaceAll(/\D/g, '').slice(0, 14);
}

function nextVersion(last: string | undefined): string {
  const now = toVersion(new Date());
  if (!last || now > last) return now;
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(last) ?? [];
  return toVersion(new Date(Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`) + 1000));
}

function slug(name: string): string {
  const words = name
    .toLowerCase()
    .match(/[a-z0-9]+/g)
    ?.join('_');
  if (!words)
    throw new RowhouseError('migration_invalid', { detail: `"${name}" holds no letter or digit to name a file by` });
  return words;
}

/** Runs of objects of the same concern: the folder of the book that holds them. */
function byConcern(book: BookObject[], name: string): { name: string; objects: BookObject[] }[] {
  const concern = (object: BookObject) => object.file.split('/').at(-2) ?? 'book';
  const runs: { concern: string; objects: BookObject[] }[] = [];
  for (const object of book) {
    const current = runs.at(-1);
    if (current?.concern === concern(object)) current.objects.push(object);
    else runs.push({ concern: concern(object), objects: [object] });
  }
  return runs.map(({ concern, objects }, index) => {
    const earlier = runs.slice(0, index).filter((run) => run.concern === concern).length;
    return { name: `${name}_${concern}${earlier > 0 ? `_${earlier + 1}` : ''}`, objects };
  });
}

/**
 * Writes the migration that takes the history to what the book says now.
 * @returns the files written; none where nothing changed.
 * @throws RowhouseError migration_invalid, book_invalid.
 */
export async function newMigration(name: string, options: NewOptions = {}): Promise<NewMigration[]> {
  const dir = options.dir ?? migrationsDir;
  const migrations = await readMigrations(dir);
  const planned: { name: string; source: string; changes: Change[] }[] = [];
  if (options.empty || options.source !== undefined) {
    planned.push({ name: slug(name), source: options.source ?? EMPTY_MIGRATION, changes: [] });
  } else {
    const book = await readBook(options.index ?? bookIndex);
    const history = inLoadOrder(readHistory(migrations), book);
    if (options.split && history.length > 0) {
      throw new RowhouseError('migration_invalid', {
        detail: '--split composes the first migrations only: there is a history',
      });
    }
    const parts = options.split ? byConcern(book, slug(name)) : [{ name: slug(name), objects: book }];
    let from = history;
    for (const part of parts) {
      const to = options.split ? [...from, ...part.objects] : part.objects;
      const composed = composeMigration(from, to);
      if (composed) planned.push({ name: part.name, ...composed });
      from = to;
    }
  }
  await mkdir(dir, { recursive: true });
  let version = migrations.at(-1)?.version;
  const written: NewMigration[] = [];
  for (const { name: title, source, changes } of planned) {
    version = nextVersion(version);
    const file = `${version}_${title}.sql`;
    await writeFile(join(dir, file), source, { flag: 'wx' });
    written.push({ file, changes });
  }
  return written;
}
