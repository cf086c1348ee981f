import { RowhouseError } from '../errors.ts';
import { checkMigrations } from '../migrate/check.ts';
import { migrationsDir } from '../migrate/files.ts';
import { frozenMigrations } from '../migrate/freeze.ts';

/** What can be compared: a database, the migrations up to one of them, or the book. */
export type Point =
  | { kind: 'database'; label: string; url: string }
  | { kind: 'migrations'; label: string; dir: string; files: string[] }
  | { kind: 'book'; label: string };

const FORMS = 'postgres://…, migration:<version>, migration:latest, migration:released or book';

function unknown(detail: string, hint = `Name ${FORMS}.`): RowhouseError {
  return new RowhouseError('usage_invalid', { detail, hint });
}

async function lastFile(name: string, files: string[], dir: string): Promise<string> {
  if (name === 'latest') {
    const last = files.at(-1);
    if (!last) throw unknown(`${dir} holds no migration`);
    return last;
  }
  if (name === 'released') {
    const last = (await frozenMigrations(dir)).at(-1);
    if (!last) throw unknown('no migration is frozen yet', 'A release freezes them with: rowhouse migrate freeze');
    return last;
  }
  const found = /^\d{4,14}/.test(name) ? files.filter((file) => file.startsWith(name.replace(/\.sql$/, ''))) : [];
  if (found.length !== 1 || !found[0]) {
    throw unknown(`migration:${name} ${found.length === 0 ? 'is no migration' : `may be ${found.join(', ')}`}`);
  }
  return found[0];
}

/**
 * Reads one side of a comparison.
 * @throws RowhouseError usage_invalid; migration_invalid where the migrations themselves are
 */
export async function parsePoint(text: string, dir: string = migrationsDir): Promise<Point> {
  if (text === 'book') return { kind: 'book', label: 'book' };
  if (text.startsWith('migration:')) {
    const files = await checkMigrations(dir);
    const last = await lastFile(text.slice('migration:'.length), files, dir);
    return { kind: 'migrations', label: last, dir, files: files.filter((file) => file <= last) };
  }
  if (URL.canParse(text) && /^postgres(ql)?:$/.test(new URL(text).protocol)) {
    // The URL may hold a password: what is printed is where it leads.
    const { hostname, port, pathname } = new URL(text);
    return { kind: 'database', label: `${hostname}:${port || '5432'}${pathname}`, url: text };
  }
  // What was given may be a mistyped URL, and is not repeated.
  throw unknown('one side of the comparison is neither a database nor a point of the migrations');
}
