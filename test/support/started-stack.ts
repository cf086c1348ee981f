import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { diesWithParent } from '../../functions/stack/account.ts';
import { freePort } from '../../functions/stack/ports.ts';
import type { ProcessIdentity } from '../../functions/stack/processes.ts';
import { openStateDirectory, readJson, type StateDirectory, writeJson } from '../../functions/stack/state.ts';
import type { StackInfo } from '../../functions/stack/supervisor.ts';

/** A stack started as people start it: `rowhouse start`, in a process of its own. */
export interface StartedStack {
  process: ChildProcess;
  state: StateDirectory;
  info: StackInfo;
  /** Everything it printed so far. */
  output(): string;
  children(): Record<string, ProcessIdentity>;
  /** Resolves with the exit code, or the signal that ended it. */
  ended: Promise<number | NodeJS.Signals | null>;
}

const main = fileURLToPath(new URL('../../functions/cli/main.ts', import.meta.url));

/** Runs `rowhouse start` until it ends by itself. */
export function runStart(directory: string, ...options: string[]) {
  const command = [...diesWithParent('TERM'), process.execPath, main, 'start', '--state-dir', directory, ...options];
  const child = spawn(command[0] ?? '', command.slice(1), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk;
    });
  }
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal));
  });
  return { process: child, output: () => output, ended };
}

/** Starts a stack and waits until it says that it is ready. Its ports are not those that a developer's own stack wants. */
export async function startStack(directory: string, ...options: string[]): Promise<StartedStack> {
  const state = openStateDirectory(directory);
  if (!existsSync(state.ports))
    writeJson(state.ports, { edge: await freePort(), postgrest: await freePort(), postgres: await freePort() });
  const run = runStart(directory, ...options);
  const ready = new Promise<void>((resolve) => {
    run.process.stdout.on('data', () => {
      if (run.output().includes('Ctrl-C stops everything')) resolve();
    });
  });
  const first = await Promise.race([ready, run.ended.then((code) => ({ code }))]);
  if (first) throw new Error(`start ended with ${first.code}:\n${run.output()}`);
  const info = readJson<StackInfo>(state.stack);
  if (!info) throw new Error('the stack is ready and stack.json is missing');
  return {
    ...run,
    state,
    info,
    children: () => readJson<Record<string, ProcessIdentity>>(state.processes) ?? {},
  };
}
