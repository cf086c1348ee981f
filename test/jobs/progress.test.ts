import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../../functions/stack/until.ts';
import { type Job, type Jobs, jobsOf } from '../support/jobs.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type TestWorker, testWorker } from '../support/worker.ts';

// How far a job is, as its tenant reads it while it runs.

let stack: TestStack;
let worker: TestWorker;
let mine: Jobs;
let viewers: Jobs;
let theirs: Jobs;

beforeAll(async () => {
  stack = await createTestStack();
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
  mine = jobsOf(stack.postgrest, await stack.token({ tenant: 't_acme', role: 'member' }));
  viewers = jobsOf(stack.postgrest, await stack.token({ tenant: 't_acme', role: 'viewer' }));
  theirs = jobsOf(stack.postgrest, await stack.token({ tenant: 't_globex', role: 'member' }));
  worker = testWorker(stack, { env: { JOBS_DIR: fileURLToPath(new URL('modules', import.meta.url)) } });
  await worker.start();
});

afterAll(async () => {
  await worker?.stop();
  await stack?.stop();
});

/** The job as soon as it has got that far. */
async function gotTo(jobs: Jobs, id: string, rows: number): Promise<Job> {
  let job = await jobs.get(id);
  const reached = async () => {
    job = await jobs.get(id);
    return Number(job.progress.rows) >= rows;
  };
  if (!(await until(reached, { timeoutMs: 15_000 }))) throw new Error(`it is at ${JSON.stringify(job)}`);
  return job;
}

test('is in the row of a job that runs, and written about once a second, whatever it reports', async () => {
  const id = await mine.start('test.steps', { steps: 1000, step_ms: 100 });
  const early = await gotTo(mine, id, 1);
  const rows = Number(early.progress.rows);
  expect(early).toMatchObject({ status: 'running', progress: { bytes: rows, total_bytes: 1000, rows }, result: null });
  const late = await gotTo(viewers, id, rows + 30);
  expect(late).toMatchObject({ status: 'running', attempts: 1 });
  await expect(theirs.get(id)).rejects.toThrow('no job');
  expect((await mine.cancel(id)).status).toBe(200);

  const { rows: written } = await stack.admin.query<{ writes: number; seconds: number; reported: number }>(
    `select count(*)::int as writes, extract(epoch from max(occurred_at) - min((new ->> 'started_at')::timestamptz))::float8 as seconds,
       max((new -> 'progress' ->> 'rows')::int) as reported
     from ledger.entries where table_name = 'app.jobs' and row_id = $1 and changed @> '{progress}'`,
    [id],
  );
  const [{ writes, seconds, reported } = { writes: 0, seconds: 0, reported: 0 }] = written;
  expect(reported).toBeGreaterThan(30);
  expect(writes).toBeGreaterThanOrEqual(2);
  expect(writes).toBeLessThanOrEqual(Math.ceil(seconds));
});

test('may have 4 KiB: more is refused, and what was reported before stays', async () => {
  const id = await mine.start('custom.report', { bytes: [100, 4096, 4097, 100_000] });
  const job = await mine.reaches(id, ['succeeded']);
  expect(job).toMatchObject({ attempts: 1, result: { refused: [4097, 100_000] } });
  expect(Object.keys(job.progress).map(({ length }) => length)).toEqual([4090]);
});
