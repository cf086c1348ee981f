import { readFileSync, realpathSync, rmSync } from 'node:fs';
import path from 'node:path';
import { RowhouseError } from '../errors.ts';
import { identify, type ProcessIdentity, processesIn, type StopSequence, stopProcess } from './processes.ts';
import { until } from './until.ts';

/** SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one, which leaves recovery to the next start. */
export const POSTGRES_STOP: StopSequence = [
  ['SIGINT', 15_000],
  ['SIGQUIT', 5000],
  ['SIGKILL', 5000],
];

/**
 * Makes the data directory ready for a start: stops a server that a killed parent left behind, waits for backends
 * whose postmaster died, and removes a `postmaster.pid` that is empty or names a process which is not this server.
 * The file is only removed when no process works in the directory: PostgreSQL itself guards against a second
 * server on the same files by it, and two of them would destroy the data.
 * @throws RowhouseError stack_failed when what is left cannot be ended
 */
export async function clearLeftovers(dataDirectory: string): Promise<void> {
  const directory = realpathSync(dataDirectory);
  const file = path.join(directory, 'postmaster.pid');
  const postmaster = readPostmaster(file, directory);
  if (postmaster && !(await stopProcess(postmaster, POSTGRES_STOP))) throw stuck(postmaster, directory);
  // Backends end by themselves when they notice that their postmaster is gone; a busy one is told to.
  if (!(await until(() => processesIn(directory).length === 0, { timeoutMs: 3000 }))) {
    for (const backend of processesIn(directory)) {
      if (!(await stopProcess(backend, POSTGRES_STOP.slice(1)))) throw stuck(backend, directory);
    }
  }
  rmSync(file, { force: true });
}

/** The server that runs on this directory, if its lock file names a live one. */
function readPostmaster(file: string, directory: string): ProcessIdentity | undefined {
  let lines: string[];
  try {
    lines = readFileSync(file, 'utf8').split('\n');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const identity = identify(Number(lines[0]));
  if (!identity) return undefined;
  if (process.platform === 'linux') return processesIn(directory).find(({ pid }) => pid === identity.pid);
  // Line 2 is the data directory, line 3 the start time in seconds; a reused pid started later than the file says.
  const startedWithFile = Math.abs(Date.parse(identity.startedAt) / 1000 - Number(lines[2])) < 5;
  return lines[1] === directory && startedWithFile ? identity : undefined;
}

function stuck({ pid }: ProcessIdentity, directory: string): RowhouseError {
  return new RowhouseError('stack_failed', {
    detail: `Process ${pid} still uses the database in ${directory} and could not be stopped.`,
    hint: `Stop it (kill -INT ${pid}) as the user who owns it, then start again.`,
  });
}
