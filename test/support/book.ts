import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type NewOptions, newMigration } from '../../functions/migrate/new.ts';
import { temporaryDirectory } from './temporary.ts';

/** A small book and its migrations in a directory of its own, removed when the test is over. */
export interface SmallBook {
  index: string;
  dir: string;
  /** Replaces the chapter: the one file of the book. */
  write(text: string): void;
  /** `rowhouse migrate new`. */
  compose(name: string, options?: NewOptions): ReturnType<typeof newMigration>;
  source(file: string): string;
  /** Puts a file into the migrations folder, or changes it there. */
  put(file: string, source: string): void;
}

export function createBook(text: string): SmallBook {
  const root = temporaryDirectory();
  const dir = join(root, 'migrations');
  const index = join(root, 'sql/index.sql');
  const chapter = join(root, 'sql/shop/chapter.sql');
  mkdirSync(join(root, 'sql/shop'), { recursive: true });
  mkdirSync(dir);
  writeFileSync(index, '-- a small book\n\\ir shop/chapter.sql\n');
  writeFileSync(chapter, text);
  return {
    index,
    dir,
    write: (next) => writeFileSync(chapter, next),
    compose: (name, options = {}) => newMigration(name, { index, dir, ...options }),
    source: (file) => readFileSync(join(dir, file), 'utf8'),
    put: (file, source) => writeFileSync(join(dir, file), source),
  };
}
