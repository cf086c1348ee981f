import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { RowhouseError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { lastWords } from './last-words.ts';
import { identify, isAlive, type ProcessIdentity, type StopSequence } from './processes.ts';
import { until } from './until.ts';

export interface ChildSpec {
  name: string;
  command: readonly string[];
  env: NodeJS.ProcessEnv;
  ids?: { uid: number; gid: number } | undefined;
  /** Opens an IPC channel, by which a Node child notices that its parent is gone. */
  ipc?: boolean;
  /** Runs before each start. */
  prepare?: () => Promise<void>;
  /** Whether the child serves; asked again until it does. Gets the lines it has printed since it started. */
  isReady: (lines: readonly string[]) => boolean | Promise<boolean>;
  /** Default one minute. */
  readyTimeoutMs?: number;
  stopSequence: StopSequence;
}

export interface ChildOptions {
  log: Logger;
  /** Gets every line that the child prints. */
  onLine: (line: string) => void;
  /** Told of each new process, before it is ready. */
  onSpawn?: (identity: ProcessIdentity) => void;
  /** Starts a child that ended by itself again, ever later while it keeps failing. */
  restart: boolean;
}

export interface Child {
  readonly name: string;
  /**
   * Resolves when the child is ready.
   * @throws RowhouseError stack_failed with its last lines when it ends or hangs before that
   */
  start(): Promise<void>;
  /** Ends the child, politely at first; `force` kills at once. Resolves when it is gone; it is not started again. */
  stop(force?: boolean): Promise<void>;
  pid(): number | undefined;
}

const READY_TIMEOUT_MS = 60_000;
const LINES_KEPT = 40;
const BACKOFF_MS = [250, 500, 1000, 2000, 5000, 10_000, 15_000];
/** A child that ran this long failed for a new reason: its next restart is quick again. */
const STABLE_MS = 60_000;

/** A child process that is started, watched and stopped here. */
export function createChild(spec: ChildSpec, options: ChildOptions): Child {
  const { log } = options;
  let current: ChildProcess | undefined;
  let stopping = false;
  let failures = 0;

  async function launch(): Promise<void> {
    await spec.prepare?.();
    if (stopping) throw new RowhouseError('stack_failed', { detail: `${spec.name} was stopped before it was ready.` });
    const started = performance.now();
    const lines: string[] = [];
    const running = spawnChild(spec, (line) => {
      lines.push(line);
      if (lines.length > LINES_KEPT) lines.shift();
      options.onLine(line);
    });
    current = running;
    const identity = running.pid === undefined ? undefined : identify(running.pid);
    if (identity) options.onSpawn?.(identity);
    const ended = new Promise<string>((resolve) => {
      running.once('error', (error) => resolve(error.message));
      running.once('close', (code, signal) => resolve(signal ? `signal ${signal}` : `exit code ${code}`));
    });
    let reason: string | undefined;
    const settled = ended.then((text) => {
      reason = text;
    });
    const ready = await until(async () => reason !== undefined || (await spec.isReady(lines)), {
      timeoutMs: spec.readyTimeoutMs ?? READY_TIMEOUT_MS,
    });
    if (reason !== undefined || !ready) {
      if (!ready) await kill(running, spec.stopSequence);
      await Promise.race([settled, sleep(1000)]);
      const { text, hint } = lastWords(lines);
      throw new RowhouseError('stack_failed', {
        detail:
          `${spec.name} ${ready ? `ended (${reason})` : 'did not answer'} before it was ready.\n${text}`.trimEnd(),
        hint: hint ?? 'The whole log is in the logs folder of the state directory.',
      });
    }
    ended.then((text) => {
      if (stopping || !options.restart) return;
      if (performance.now() - started > STABLE_MS) failures = 0;
      log.error({ child: spec.name, reason: text }, `${spec.name} ended and is started again`);
      void relaunch();
    });
  }

  async function relaunch(): Promise<void> {
    while (!stopping) {
      await sleep(BACKOFF_MS[Math.min(failures, BACKOFF_MS.length - 1)], undefined, { ref: false });
      failures += 1;
      if (stopping) return;
      try {
        await launch();
        log.warn({ child: spec.name, pid: current?.pid }, `${spec.name} is back`);
        return;
      } catch (error) {
        if (!stopping) log.error({ child: spec.name, err: error }, `${spec.name} could not be started again`);
      }
    }
  }

  return {
    name: spec.name,
    start: launch,
    async stop(force = false) {
      stopping = true;
      if (current) await kill(current, force ? spec.stopSequence.slice(-1) : spec.stopSequence);
    },
    pid: () => current?.pid,
  };
}

function spawnChild(spec: ChildSpec, onLine: (line: string) => void): ChildProcess {
  const [file = '', ...args] = spec.command;
  const child = spawn(file, args, {
    env: spec.env,
    ...spec.ids,
    // A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which then stops children in order.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', ...(spec.ipc ? (['ipc'] as const) : [])],
  });
  for (const stream of [child.stdout, child.stderr]) if (stream) createInterface({ input: stream }).on('line', onLine);
  return child;
}

async function kill(child: ChildProcess, sequence: StopSequence): Promise<void> {
  const identity = child.pid === undefined ? undefined : identify(child.pid);
  if (!identity) return;
  for (const [signal, graceMs] of sequence) {
    child.kill(signal);
    if (await until(() => !isAlive(identity), { timeoutMs: graceMs })) return;
  }
}
