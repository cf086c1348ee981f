import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Jobs, jobsOf } from '../support/jobs.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type TestWorker, testWorker } from '../support/worker.ts';

let stack: TestStack;
let worker: TestWorker;
let jobs: Jobs;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.createTenant('t_acme');
  jobs = jobsOf(stack.postgrest, await stack.token({ tenant: 't_acme', role: 'member' }));
  worker = testWorker(stack, { env: { JOBS_DIR: fileURLToPath(new URL('modules', import.meta.url)) } });
  await worker.start();
});
afterAll(async () => {
  await worker?.stop();
  await stack?.stop();
});

/** Milliseconds from each submission to the start of its job. */
async function waits(ids: string[]): Promise<number[]> {
  for (const id of ids) await jobs.reaches(id, ['succeeded']);
  const { rows } = await stack.admin.query<{ waited: number }>(
    `select extract(epoch from started_at - created_at)::float8 * 1000 as waited from app.jobs
     where id = any ($1::uuid[]) order by waited`,
    [ids],
  );
  return rows.map(({ waited }) => waited);
}

test.each([
  ['one that comes when nothing has come for a while', 10, 400],
  ['one of a trickle', 30, 100],
])('picks up %s at once', async (_which, count, apartMs) => {
  const ids: string[] = [];
  for (let nth = 0; nth < count; nth += 1) {
    ids.push(await jobs.start('custom.large', { bytes: 10 }));
    await delay(apartMs);
  }
  const waited = await waits(ids);
  expect(waited).toHaveLength(count);
  // A poll, of the ledger or of the queue, would be a second or more.
  expect(waited[count >> 1]).toBeLessThan(500);
});
