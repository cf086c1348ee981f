import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { RowhouseError } from '../errors.ts';
import { identify, isAlive, type ProcessIdentity } from './processes.ts';
import { readJson, type StateDirectory } from './state.ts';

/**
 * Takes the state directory for this process. The lock of a process that is gone is replaced.
 * @returns the function that gives it back.
 * @throws RowhouseError stack_running naming the process that holds it.
 */
export function takeLock(state: StateDirectory): () => void {
  const own = `${state.lock}.${process.pid}`;
  const text = JSON.stringify(identify(process.pid));
  writeFileSync(own, text, { mode: 0o600 });
  try {
    // A hard link appears whole or not at all, and fails when the name is taken.
    for (let attempt = 0; attempt < 10 && !tryLink(own, state.lock); attempt += 1) {
      const holder = readJson<ProcessIdentity>(state.lock);
      if (holder && isAlive(holder)) throw running(state, holder);
      discard(state.lock, holder);
    }
  } finally {
    rmSync(own, { force: true });
  }
  if (readText(state.lock) !== text) throw running(state, readJson<ProcessIdentity>(state.lock));
  return () => {
    if (readText(state.lock) === text) rmSync(state.lock, { force: true });
  };
}

function running(state: StateDirectory, holder: ProcessIdentity | undefined): RowhouseError {
  const edge = readJson<{ edge: string }>(state.stack)?.edge;
  const where = edge ? `at ${edge}` : 'and is starting';
  return new RowhouseError('stack_running', {
    detail: `Process ${holder?.pid ?? 'unknown'} runs a stack in ${state.root}, ${where}.`,
    hint: 'Use that one, stop it with Ctrl-C, or name another directory with --state-dir, here and in the commands that are for it.',
  });
}

/** Moves a stale lock away; two starters may do this at once, so what was moved is looked at before it is removed. */
function discard(lock: string, stale: ProcessIdentity | undefined): void {
  const aside = `${lock}.stale.${process.pid}`;
  try {
    renameSync(lock, aside);
  } catch {
    return;
  }
  const moved = readJson<ProcessIdentity>(aside);
  if (moved && moved.startedAt !== stale?.startedAt) tryLink(aside, lock);
  rmSync(aside, { force: true });
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
