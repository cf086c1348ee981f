import { existsSync, mkdirSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import path from 'node:path';
import { packageRoot } from '../../functions/paths.ts';

const MEMORY = '/dev/shm';
const GB = 2 ** 30;
/** A run keeps about 1 GB there. */
const ROOM = 3 * GB;
/** For the processes themselves. */
const SPARE = 2 * GB;

/**
 * What makes a run quick, for this process and all that it starts. A variable that is set already stays.
 *
 * Databases are copied a hundred times and have 1,600 files each, all of them thrown away: in memory a copy costs a tenth of what
 * it costs a disk. And each of the hundreds of Node processes that a run starts finds compiled what an earlier one has compiled.
 */
export function quicken(environment: NodeJS.ProcessEnv = process.env): void {
  environment.NODE_COMPILE_CACHE ??= path.join(packageRoot, 'node_modules/.cache/rowhouse-test');
  if (environment.TMPDIR === undefined && hasRoom()) environment.TMPDIR = ownDirectory();
}

const PREFIX = 'rowhouse-run-';

/** Of this run, gone with it; what a run that was killed has left is removed by the next. */
function ownDirectory(): string {
  for (const name of readdirSync(MEMORY)) {
    if (name.startsWith(PREFIX) && !existsSync(`/proc/${name.slice(PREFIX.length)}`)) remove(path.join(MEMORY, name));
  }
  const directory = path.join(MEMORY, `${PREFIX}${process.pid}`);
  // Where PostgreSQL runs as another account, it passes through.
  mkdirSync(directory, { recursive: true, mode: 0o711 });
  process.once('exit', () => remove(directory));
  return directory;
}

/** What is somebody else's, or still being written, stays. */
function remove(directory: string): void {
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch {}
}

/** In a container it is often 64 MB. */
function hasRoom(): boolean {
  if (process.platform !== 'linux' || !existsSync(MEMORY)) return false;
  const { bavail, bsize } = statfsSync(MEMORY);
  return bavail * bsize > ROOM && process.availableMemory() > ROOM + SPARE;
}
