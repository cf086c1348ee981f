import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { RowhouseError } from '../errors.ts';

/** Everything that one stack keeps, under one directory. */
export interface StateDirectory {
  root: string;
  postgres: string;
  storage: string;
  logs: string;
  /** Holds the socket; short-lived files of a running stack. */
  run: string;
  secrets: string;
  ports: string;
  /** Who runs the stack: a live process here refuses a second start. */
  lock: string;
  /** Children by pid and start time, so that the next start can end those that outlived a `kill -9`. */
  processes: string;
  postgrest: string;
  /** Present while the stack is ready: URLs for the CLI and for tests. */
  stack: string;
}

export function stateDirectory(directory: string): StateDirectory {
  const root = path.resolve(directory);
  const at = (name: string) => path.join(root, name);
  return {
    root,
    postgres: at('postgres'),
    storage: at('storage'),
    logs: at('logs'),
    run: at('run'),
    secrets: at('secrets.json'),
    ports: at('ports.json'),
    lock: at('lock.json'),
    processes: at('processes.json'),
    postgrest: at('postgrest.conf'),
    stack: at('stack.json'),
  };
}

/**
 * Makes the directory, readable for its owner only.
 * @throws RowhouseError stack_failed when it cannot be written or holds something else than a stack.
 */
export function openStateDirectory(directory: string): StateDirectory {
  const state = stateDirectory(directory);
  try {
    mkdirSync(state.root, { recursive: true, mode: 0o700 });
    refuseForeign(state.root);
    const known = new Set(Object.values(state).map((file) => path.basename(file)));
    const names = readdirSync(state.root);
    if (names.length > 0 && !names.some((name) => known.has(name))) {
      throw new RowhouseError('stack_failed', {
        detail: `${state.root} is not empty and holds no stack.`,
        hint: 'Name an empty or new directory with --state-dir.',
      });
    }
    for (const part of [state.storage, state.logs, state.run]) mkdirSync(part, { recursive: true, mode: 0o700 });
  } catch (error) {
    if (error instanceof RowhouseError) throw error;
    throw new RowhouseError('stack_failed', {
      detail: `${state.root} cannot be used: ${(error as Error).message}`,
      hint: 'Run as the user who started this stack first, or name another directory with --state-dir.',
      cause: error,
    });
  }
  return state;
}

/** Root could go on here, and would leave files that the owner cannot read. */
function refuseForeign(root: string): void {
  const { uid } = statSync(root);
  if (uid === (process.getuid?.() ?? uid)) return;
  throw new RowhouseError('stack_failed', {
    detail: `${root} belongs to the user with id ${uid}.`,
    hint: 'Run as that user, or name another directory with --state-dir.',
  });
}

/** Removes what a stack keeps, and nothing else that may lie in the directory. The lock stays with its holder. */
export function removeState(state: StateDirectory): void {
  for (const part of Object.values(state)) {
    if (part !== state.root && part !== state.lock) rmSync(part, { recursive: true, force: true });
  }
}

/** Writes the whole file or nothing, readable for its owner only. */
export function writePrivate(file: string, text: string): void {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, text, { mode: 0o600 });
  renameSync(draft, file);
}

export function writeJson(file: string, value: unknown): void {
  writePrivate(file, `${JSON.stringify(value, null, 2)}\n`);
}

/** The parsed file, or undefined when it is absent or was cut short by a crash. */
export function readJson<T>(file: string): T | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
