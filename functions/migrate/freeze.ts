import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { RowhouseError } from '../errors.ts';
import { listMigrations, migrationsDir } from './files.ts';

/** Beside the folder, in the format of sha256sum: `cd db/migrations && sha256sum -c ../migrations.sha256` checks it too. */
export function hashesFile(dir: string): string {
  return `${resolve(dir)}.sha256`;
}

async function readHashes(path: string): Promise<Map<string, string>> {
  const source = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const lines = source.split('\n').filter((line) => line.trim() !== '');
  return new Map(
    lines.map((line) => {
      const [, hash, file] = /^([0-9a-f]{64}) [ *](\S+)$/.exec(line) ?? [];
      if (!hash || !file) {
        throw new RowhouseError('migration_invalid', {
          detail: `${path} holds a line that is no hash and file name: ${line}`,
        });
      }
      return [file, hash];
    }),
  );
}

async function hashFile(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

/** The names of the frozen files, in order. The last one is the last that was released. */
export async function frozenMigrations(dir: string = migrationsDir): Promise<string[]> {
  return [...(await readHashes(hashesFile(dir))).keys()].sort();
}

/** What is wrong with frozen files: changed or missing. Files that are not frozen yet are nobody's problem. */
export async function frozenProblems(dir: string = migrationsDir): Promise<string[]> {
  const names = new Set(await listMigrations(dir));
  const problems: string[] = [];
  for (const [file, hash] of await readHashes(hashesFile(dir))) {
    if (!names.has(file)) problems.push(`${file}: is frozen and missing`);
    else if ((await hashFile(join(dir, file))) !== hash) problems.push(`${file}: is frozen and was changed`);
  }
  return problems;
}

/**
 * Freezes every migration that is not frozen yet.
 * @returns the files newly frozen.
 * @throws RowhouseError migration_invalid if a frozen file was changed or is missing; nothing is written then.
 */
export async function freezeMigrations(dir: string = migrationsDir): Promise<string[]> {
  const problems = await frozenProblems(dir);
  if (problems.length > 0) {
    throw new RowhouseError('migration_invalid', {
      detail: problems.join('\n'),
      hint: 'Restore the file from the history of the repository, and write a new migration for the change.',
    });
  }
  const hashes = hashesFile(dir);
  const frozen = await readHashes(hashes);
  const added = (await listMigrations(dir)).filter((file) => !frozen.has(file));
  for (const file of added) frozen.set(file, await hashFile(join(dir, file)));
  const lines = [...frozen].sort(([a], [b]) => (a < b ? -1 : 1)).map(([file, hash]) => `${hash}  ${file}\n`);
  if (added.length > 0) await writeFile(hashes, lines.join(''));
  return added;
}
