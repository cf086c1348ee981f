import { fileURLToPath } from 'node:url';
import pino from 'pino';
import { programEnvironment } from '../../functions/environment.ts';
import { type Child, createChild } from '../../functions/stack/child.ts';
import { identify, isAlive } from '../../functions/stack/processes.ts';
import { until } from '../../functions/stack/until.ts';
import type { TestStack } from './stack.ts';

/** A worker that also runs the job types of test/support/worker-main.ts. */
export interface TestWorker {
  start(): Promise<void>;
  /** Stops it in order. */
  stop(): Promise<void>;
  /** `kill -9`; resolves when the process is gone. */
  kill(): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** Waits for a log line about a job. */
  logged(msg: string, jobId: string): Promise<boolean>;
  /** What it has printed so far. */
  lines(): readonly string[];
}

/**
 * @param options.restart starts it again whenever it ends by itself, as the stack does
 * @param options.env additions to its environment, such as JOBS_DIR
 */
export function testWorker(
  stack: TestStack,
  options: { restart?: boolean; env?: Record<string, string> } = {},
): TestWorker {
  const lines: string[] = [];
  let child: Child | undefined;

  function pid(): number {
    const running = child?.pid();
    if (running === undefined) throw new Error('the test worker does not run');
    return running;
  }

  return {
    async start() {
      child = createChild(
        {
          name: 'worker',
          command: [process.execPath, fileURLToPath(new URL('worker-main.ts', import.meta.url))],
          env: programEnvironment({
            WORKER_DATABASE_URL: stack.database.worker,
            STORAGE_DIR: stack.storageDirectory,
            STORAGE_SECRET: stack.storageSecret,
            ...options.env,
          }),
          ipc: true,
          isReady: (printed) => printed.some((line) => line.includes('"msg":"worker ready"')),
          stopSequence: [
            ['SIGTERM', 20_000],
            ['SIGKILL', 5000],
          ],
        },
        { log: pino({ level: 'silent' }), restart: options.restart ?? false, onLine: (line) => lines.push(line) },
      );
      await child.start();
    },
    async stop() {
      await child?.stop();
    },
    async kill() {
      const identity = identify(pid());
      process.kill(pid(), 'SIGKILL');
      if (identity) await until(() => !isAlive(identity), { timeoutMs: 5000 });
    },
    signal: (signal) => process.kill(pid(), signal),
    lines: () => lines,
    logged: (msg, jobId) =>
      until(() => lines.some((line) => line.includes(`"msg":"${msg}"`) && line.includes(jobId)), { timeoutMs: 30_000 }),
  };
}
