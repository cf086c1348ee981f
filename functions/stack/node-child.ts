import { fileURLToPath } from 'node:url';
import { programEnvironment } from '../environment.ts';
import type { ChildSpec } from './child.ts';
import { untilOk } from './until.ts';

export interface EdgeOptions {
  port: number;
  databaseUrl: string;
  postgrestUrl: string;
  storageDirectory: string;
  storageSecret: string;
}

export type WorkerOptions = Pick<EdgeOptions, 'databaseUrl' | 'storageDirectory' | 'storageSecret'>;

/**
 * In MB. Rows die young: a small nursery is as fast as V8's default of 16, stays in the processor's cache, and holds
 * the worker to some 210 MB instead of 230 and more while it validates a million rows.
 */
const WORKER_FLAGS = ['--max-semi-space-size=4'];

/** The edge as a child, ready when GET /readyz answers 200. */
export function edgeChild(options: EdgeOptions): ChildSpec {
  const environment = {
    ...storageEnvironment(options),
    EDGE_HOST: '127.0.0.1',
    EDGE_PORT: String(options.port),
    EDGE_DATABASE_URL: options.databaseUrl,
    POSTGREST_URL: options.postgrestUrl,
  };
  return {
    ...nodeChild('edge', [], '../edge/main.ts', environment),
    isReady: () => untilOk(`http://127.0.0.1:${options.port}/readyz`, { timeoutMs: 0 }),
    stopSequence: [
      ['SIGTERM', 10_000],
      ['SIGKILL', 5000],
    ],
  };
}

/** The worker as a child, ready when it says so. It may finish the job it is at before it stops. */
export function workerChild(options: WorkerOptions): ChildSpec {
  const environment = { ...storageEnvironment(options), WORKER_DATABASE_URL: options.databaseUrl };
  return {
    ...nodeChild('worker', WORKER_FLAGS, '../worker/main.ts', environment),
    isReady: (lines) => lines.some((line) => line.includes('"msg":"worker ready"')),
    stopSequence: [
      ['SIGTERM', 30_000],
      ['SIGKILL', 5000],
    ],
  };
}

/** Over the IPC channel it notices, and stops, when this process is gone. */
function nodeChild(name: string, flags: readonly string[], main: string, environment: NodeJS.ProcessEnv) {
  return {
    name,
    command: [process.execPath, ...flags, fileURLToPath(new URL(main, import.meta.url))],
    env: programEnvironment(environment),
    ipc: true,
  };
}

/** What the user set about storage wins over the stack's own. */
function storageEnvironment({ storageDirectory, storageSecret }: WorkerOptions): NodeJS.ProcessEnv {
  return { STORAGE_DIR: storageDirectory, STORAGE_SECRET: storageSecret, ...given('STORAGE_DIR', 'STORAGE_SECRET') };
}

function given(...names: string[]): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(programEnvironment()).filter(([name]) => names.includes(name)));
}
