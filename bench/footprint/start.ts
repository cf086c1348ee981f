import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { isAlive, type ProcessIdentity } from '../../functions/stack/processes.ts';
import { readJson, stateDirectory } from '../../functions/stack/state.ts';
import type { StackInfo } from '../../functions/stack/supervisor.ts';
import { until } from '../../functions/stack/until.ts';

export interface Started {
  /** From the command to the line that says that everything is ready. */
  readySeconds: number;
  /** Seconds of each step, by its title; `npm and Node.js` is what came before the first. */
  steps: Record<string, number>;
  info: StackInfo;
  /** npm, supervisor, postgres, postgrest, edge, worker. */
  pids: Record<string, number>;
  /** As Ctrl-C does. Resolves when npm has ended. */
  stop(): Promise<void>;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PATIENCE_MS = 120_000;

/** `npm start`, as a user types it. @throws Error with its last lines where it ends before it is ready */
export async function npmStart(directory: string): Promise<Started> {
  const began = performance.now();
  const child = spawn('npm', ['start', '--', '--state-dir', directory], {
    cwd: ROOT,
    env: { ...process.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const closed = once(child, 'close');
  const state = stateDirectory(directory);
  const steps: Record<string, number> = {};
  let last = began;
  let ready: number | undefined;
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    const now = performance.now();
    const [, sign, title = ''] = /^([❯✔]) (\w+)/.exec(line) ?? [];
    if (sign === '❯' && Object.keys(steps).length === 0) steps['npm and Node.js'] = (now - began) / 1000;
    if (sign === '✔') steps[title] = (now - last) / 1000;
    if (sign) last = now;
    if (line === 'Ready') ready ??= now;
  });
  createInterface({ input: child.stderr }).on('line', (line) => lines.push(line));
  const ended = () => child.exitCode !== null || child.signalCode !== null;
  const supervisor = () => readJson<ProcessIdentity>(state.lock);
  await until(() => ready !== undefined || ended(), { timeoutMs: PATIENCE_MS });
  const stop = () => stopStart(child, closed, supervisor());
  if (ready === undefined) {
    await stop();
    throw new Error(`npm start was not ready:\n${lines.slice(-8).join('\n')}`);
  }
  const children = readJson<Record<string, ProcessIdentity>>(state.processes) ?? {};
  const pids = Object.fromEntries(Object.entries(children).map(([name, { pid }]) => [name, pid]));
  return {
    readySeconds: (ready - began) / 1000,
    steps,
    info: readJson<StackInfo>(state.stack) as StackInfo,
    pids: { npm: child.pid as number, supervisor: supervisor()?.pid as number, ...pids },
    stop,
  };
}

/** npm and its shell pass a signal on, and a terminal sends it to all of them: the supervisor alone is told here, once. */
async function stopStart(child: ChildProcess, closed: Promise<unknown>, supervisor: ProcessIdentity | undefined) {
  if (supervisor && isAlive(supervisor)) process.kill(supervisor.pid, 'SIGINT');
  else child.kill();
  await closed;
}
