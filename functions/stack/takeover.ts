import { existsSync, rmSync } from 'node:fs';
import { takeLock } from './lock.ts';
import { clearLeftovers } from './postmaster.ts';
import { type ProcessIdentity, type StopSequence, stopProcess } from './processes.ts';
import { openStateDirectory, readJson, removeState, type StateDirectory } from './state.ts';

const LEFTOVER_STOP: StopSequence = [
  ['SIGTERM', 5000],
  ['SIGKILL', 5000],
];

/**
 * Makes the state directory this process's: takes its lock, ends what an earlier run left behind, and removes
 * the data where a fresh start is wanted.
 * @returns the directory and the function that gives its lock back
 * @throws RowhouseError stack_running, stack_failed
 */
export async function takeOver(
  directory: string,
  fresh: boolean,
): Promise<{ state: StateDirectory; release: () => void }> {
  const state = openStateDirectory(directory);
  const release = takeLock(state);
  try {
    const leftovers = readJson<Record<string, ProcessIdentity>>(state.processes) ?? {};
    // Clients of the database first: PostgreSQL is found by its data directory.
    const clients = Object.entries(leftovers).filter(([name]) => name !== 'postgres');
    await Promise.all(clients.map(([, identity]) => stopProcess(identity, LEFTOVER_STOP)));
    if (existsSync(state.postgres)) await clearLeftovers(state.postgres);
    rmSync(state.processes, { force: true });
    rmSync(state.stack, { force: true });
    if (fresh) {
      removeState(state);
      openStateDirectory(directory);
    }
  } catch (error) {
    release();
    throw error;
  }
  return { state, release };
}
