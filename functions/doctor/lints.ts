import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../paths.ts';

export type Level = 'error' | 'warning' | 'info';

/** Who can run a lint's remedy: the owner, in a migration; a superuser; or only a person who knows what was meant. */
export type Fix = 'migration' | 'superuser' | 'hand';

export interface Lint {
  /** Four digits; never used again for another lint. */
  id: string;
  /** The name of its files, `0001_rls_disabled`: what findings and waivers call it. */
  lint: string;
  level: Level;
  fix: Fix;
  title: string;
  why: string;
  /** A column without which it cannot be asked: of a database that has not come so far. */
  needs?: string;
  /** One select of object, detail, remedy and metadata over the relations of context.sql. */
  query: string;
  /** Its page, from the root of the project. */
  docs: string;
}

export const lintsDir: string = join(packageRoot, 'functions/doctor/lints');

const HEADER = /^-- (id|name|level|fix|needs|title|why): (.*(?:\n-- {3}.*)*)\n/gm;
const LEVELS: readonly string[] = ['error', 'warning', 'info'];
const FIXES: readonly string[] = ['migration', 'superuser', 'hand'];

/**
 * Reads the head of a lint: `-- key: value` for id, name, level, fix, title, why and, for some, needs, continued on lines of `--` and three spaces.
 * @throws Error naming the file whose head is not whole, or does not agree with its name
 */
export function parseLint(file: string, source: string): Lint {
  const head = Object.fromEntries(
    [...source.matchAll(HEADER)].map(([, key, value = '']) => [key, value.replaceAll(/\n-- {3}/g, ' ')]),
  );
  const { id, name, level, fix, title, why, needs } = head;
  const whole = id && name && title && why && LEVELS.includes(level ?? '') && FIXES.includes(fix ?? '');
  if (!whole || file !== `${id}_${name}.sql`) throw new Error(`${file}: its head is not that of a lint of this name`);
  const lint = `${id}_${name}`;
  return {
    id,
    lint,
    level: level as Level,
    fix: fix as Fix,
    title,
    why,
    ...(needs ? { needs } : {}),
    query: source.replaceAll(HEADER, '').trim(),
    docs: `docs/lints/${lint}.md`,
  };
}

/** Every lint that there is, by id. */
export function readLints(dir: string = lintsDir): Lint[] {
  return readdirSync(dir)
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => parseLint(file, readFileSync(join(dir, file), 'utf8')));
}
