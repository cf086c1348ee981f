import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { packageRoot } from '../../functions/paths.ts';
import { until } from '../../functions/stack/until.ts';
import { type Jobs, jobsOf } from '../support/jobs.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type TestWorker, testWorker } from '../support/worker.ts';

export interface Letter {
  id: string;
  job_id: string;
  tenant_id: string;
  type: string;
  code: string | null;
}

export interface Status {
  type: string;
  workers: number;
  delayed: number;
  waiting: number;
  active: number;
  dead: number;
  oldest_seconds: number | null;
  paused_at: string | null;
  tenants: { tenant_id: string; waiting: number }[];
}

export interface QueueWorld {
  stack: TestStack;
  worker: TestWorker;
  /** Of t_acme and t_globex, as members. */
  mine: Jobs;
  theirs: Jobs;
  /** `rowhouse queue … --json`: exit code, and what it printed. */
  queue<Printed = unknown>(args: string[], url?: string): Promise<[code: number, printed: Printed]>;
  /** `rowhouse queue status` as people read it: the line of a type. */
  lineOf(type: string): Promise<string | undefined>;
  statusOf(type: string): Promise<Status | undefined>;
  deadJobs(...args: string[]): Promise<string[]>;
  /** Jobs whose one attempt failed: dead letters, which succeed when they are tried again. */
  died(jobs: Jobs, count: number): Promise<string[]>;
  /** Without dead letters again. */
  clear(): Promise<void>;
  stop(): Promise<void>;
}

/** Two tenants, and a worker that runs the types of test/jobs/modules. */
export async function createQueueWorld(): Promise<QueueWorld> {
  const stack = await createTestStack();
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
  const mine = jobsOf(stack.postgrest, await stack.token({ tenant: 't_acme', role: 'member' }));
  const theirs = jobsOf(stack.postgrest, await stack.token({ tenant: 't_globex', role: 'member' }));
  const worker = testWorker(stack, { env: { JOBS_DIR: fileURLToPath(new URL('modules', import.meta.url)) } });
  await worker.start();

  const run = (args: string[], url = stack.database.worker): Promise<[code: number, printed: string]> => {
    const command = [join(packageRoot, 'functions/cli/main.ts'), 'queue', ...args];
    const env = { ...process.env, DATABASE_URL: url };
    return new Promise((resolve) => {
      const child = execFile(process.execPath, command, { env }, (_error, stdout, stderr) => {
        resolve([child.exitCode ?? -1, stdout || stderr]);
      });
    });
  };
  const queue: QueueWorld['queue'] = async (args, url) => {
    const [code, printed] = await run([...args, '--json'], url);
    return [code, JSON.parse(printed)];
  };

  return {
    stack,
    worker,
    mine,
    theirs,
    queue,
    lineOf: async (type) => (await run(['status']))[1].split('\n').find((line) => line.startsWith(`${type} `)),
    statusOf: async (type) => (await queue<Status[]>(['status']))[1].find((status) => status.type === type),
    deadJobs: async (...args) => (await queue<Letter[]>(['dead', ...args]))[1].map(({ job_id }) => job_id),
    async died(jobs, count) {
      const start = () => jobs.start('custom.flaky', { until_attempt: 2 });
      const ids = await Promise.all(Array.from({ length: count }, start));
      for (const id of ids) await jobs.reaches(id, ['failed']);
      const inQueue = () =>
        stack.admin.query(`select from pgboss.job where name = 'job.dead' and data ->> 'job_id' = any ($1)`, [ids]);
      // The letters that the queue itself has of them go within seconds.
      expect(await until(async () => (await inQueue()).rowCount === 0, { timeoutMs: 10_000 })).toBe(true);
      return ids;
    },
    async clear() {
      await stack.admin.query(`delete from app.jobs where status = 'failed'`);
      await stack.admin.query(`delete from pgboss.job where name = 'job.dead'`);
    },
    async stop() {
      await worker.stop();
      await stack.stop();
    },
  };
}
