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

type StorageOptions = Pick<EdgeOptions, 'storageDirectory' | 'storageSecret'>;

export interface WorkerOptions extends StorageOptions {
  databaseUrl: string;
  /** Armoured. Without one the worker sends no webhooks. */
  webhookKey?: string;
}

/**
 * In MB; V8's own is 16. Rows die young: a small nursery is as fast, and the worker validates a million of them in 210
 * to 220 MB, not 230 to 315; with repair and deduplication in 280, not 335.
 */
const WORKER_FLAGS = ['--max-semi-space-size=4'];

/** As for the worker: under full load the edge holds 210 MB, not 310, and a cached answer costs no more. */
const EDGE_FLAGS = ['--max-semi-space-size=8'];
/** glibc keeps an arena for each thread, and in each what it has freed: another 20 MB. */
const EDGE_MALLOC = { MALLOC_ARENA_MAX: '2' };

/** The edge as a child, ready when GET /readyz answers 200. */
export function edgeChild(options: EdgeOptions): ChildSpec {
  const environment = {
    ...EDGE_MALLOC,
    ...storageEnvironment(options),
    EDGE_HOST: '127.0.0.1',
    EDGE_PORT: String(options.port),
    EDGE_DATABASE_URL: options.databaseUrl,
    POSTGREST_URL: options.postgrestUrl,
  };
  return {
    ...nodeChild('edge', EDGE_FLAGS, '../edge/main.ts', environment),
    isReady: () => untilOk(`http://127.0.0.1:${options.port}/readyz`, { timeoutMs: 0 }),
    stopSequence: [
      ['SIGTERM', 10_000],
      ['SIGKILL', 5000],
    ],
  };
}

/** The worker as a child, ready when it says so. It may finish the job it is at before it stops. */
export function workerChild(options: WorkerOptions): ChildSpec {
  const environment = {
    ...storageEnvironment(options),
    ...webhookEnvironment(options),
    WORKER_DATABASE_URL: options.databaseUrl,
  };
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
function storageEnvironment({ storageDirectory, storageSecret }: StorageOptions): NodeJS.ProcessEnv {
  return { STORAGE_DIR: storageDirectory, STORAGE_SECRET: storageSecret, ...given('STORAGE_DIR', 'STORAGE_SECRET') };
}

/** A key that the user names wins over the stack's own, in either form. */
function webhookEnvironment({ webhookKey }: WorkerOptions): NodeJS.ProcessEnv {
  const theirs = given('WEBHOOK_PRIVATE_KEY', 'WEBHOOK_PRIVATE_KEY_FILE');
  return webhookKey && Object.keys(theirs).length === 0 ? { WEBHOOK_PRIVATE_KEY: webhookKey } : theirs;
}

function given(...names: string[]): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(programEnvironment()).filter(([name]) => names.includes(name)));
}
