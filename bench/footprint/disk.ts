import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stateDirectory } from '../../functions/stack/state.ts';

const BLOCK = 512; // of stat(2), whatever the file system's own is

/** What the files below a path take on the disk, in MB; 0 where there are none. Links are not followed. */
export function diskMb(path: string): number {
  const own = lstatSync(path, { throwIfNoEntry: false });
  if (!own) return 0;
  const below = own.isDirectory() ? readdirSync(path).map((name) => diskMb(join(path, name))) : [];
  return below.reduce((sum, mb) => sum + mb, (own.blocks * BLOCK) / 2 ** 20);
}

export interface Disk {
  /** All that a stack keeps. */
  stackMb: number;
  /** Of those: the write-ahead log, which is kept for reuse. */
  walMb: number;
  logsMb: number;
  /** All of node_modules: PostgreSQL, PostgREST and Node.js, other packages, tools of development. */
  installedMb: number;
}

export function measureDisk(directory: string): Disk {
  const state = stateDirectory(directory);
  return {
    stackMb: diskMb(state.root),
    walMb: diskMb(join(state.postgres, 'pg_wal')),
    logsMb: diskMb(state.logs),
    installedMb: diskMb(fileURLToPath(new URL('../../node_modules', import.meta.url))),
  };
}
