import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../../functions/stack/until.ts';
import { type Jobs, jobsOf } from '../support/jobs.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type TestWorker, testWorker } from '../support/worker.ts';

// Handlers that do what none should: each of their jobs ends all the same, and says why.

let stack: TestStack;
let worker: TestWorker;
let mine: Jobs;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.createTenant('t_acme');
  mine = jobsOf(stack.postgrest, await stack.token({ tenant: 't_acme', role: 'member' }));
  worker = testWorker(stack, { env: { JOBS_DIR: fileURLToPath(new URL('handlers', import.meta.url)) } });
  await worker.start();
});
afterAll(async () => {
  await worker?.stop();
  await stack?.stop();
});

const over = async (input: object, type = 'custom.odd') =>
  mine.reaches(await mine.start(type, input), ['succeeded', 'failed', 'cancelled'], 30_000);

test('a handler that does what it should has its result', async () => {
  expect(await over({ how: 'ends' })).toMatchObject({ status: 'succeeded', attempts: 1, result: { ended: true } });
});

describe('a failure for good', () => {
  test.each([
    ['fails with a null', 'a\ufffdb\ufffd'],
    ['fails with 4,000 control characters', '\ufffd'.repeat(4000)],
    ['fails with half a character', `${'x'.repeat(3999)}\ufffd`],
  ])('that %s is one, whatever its words are', async (how, message) => {
    expect(await over({ how })).toMatchObject({ status: 'failed', attempts: 1, error: { code: 'odd_name', message } });
  });

  test('of an input whose names are long and odd is one', async () => {
    for (const name of ['\u0001'.repeat(4000), `${'😀'.repeat(3000)}`]) {
      const job = await over({ [name]: 1 }, 'csv.validate');
      expect(job).toMatchObject({ status: 'failed', attempts: 1, error: { code: 'job_input_invalid' } });
    }
  });
});

test.each(['throws what is frozen', 'throws nothing', 'returns what is no JSON'])(
  'a handler that %s is tried again, and its tenant is told that much',
  async (how) => {
    expect(await over({ how })).toMatchObject({
      status: 'failed',
      attempts: 2,
      error: { code: 'job_attempts_exhausted', cause: 'internal' },
    });
  },
);

describe('progress that cannot be written', () => {
  test('does not keep a job from ending', async () => {
    const job = await over({ how: 'reports a null, and ends' });
    expect(job).toMatchObject({ status: 'succeeded', attempts: 1, progress: {}, result: { ended: true } });
  });

  test('does not keep a handler from being told that it is cancelled', async () => {
    const id = await mine.start('custom.odd', { how: 'reports a null until it is told to stop' });
    await mine.reaches(id, ['running']);
    expect(await worker.logged('progress not written', id)).toBe(true);
    const begun = performance.now();
    expect((await mine.cancel(id)).status).toBe(200);
    expect(await worker.logged('job cancelled', id)).toBe(true);
    expect(performance.now() - begun).toBeLessThan(4000);
  });
});

describe('what a handler is told of another job', () => {
  test('that it is not there, does not end its own', async () => {
    const job = '0199f3c1-7c1e-7000-8000-5a0c7f1d2e3b';
    expect(await over({ how: 'asks for the lease of another job', job })).toMatchObject({
      status: 'failed',
      attempts: 2,
      error: { code: 'job_attempts_exhausted', cause: 'job_not_found' },
    });
  });

  test('that it is over, does not end its own', async () => {
    const cancelled = await mine.start('custom.odd', { how: 'waits' });
    await mine.cancel(cancelled);
    expect(await over({ how: 'ends another job', job: cancelled })).toMatchObject({
      status: 'failed',
      attempts: 2,
      error: { code: 'job_attempts_exhausted', cause: 'job_transition' },
    });
  });
});

test('a type that is resumed while a job of it runs has no more at once than before', async () => {
  const pause = (on: boolean) => stack.admin.query('select tenancy.set_job_type_pause($1, $2)', ['custom.odd', on]);
  const first = await mine.start('custom.odd', { how: 'waits' });
  await mine.reaches(first, ['running']);
  const [taken, paused] = [() => lines('job type taken'), () => lines('job type paused')];
  const lines = (msg: string) =>
    worker.lines().filter((line) => line.includes(msg) && line.includes('custom.odd')).length;
  const before = taken();
  await pause(true);
  expect(await until(() => paused() === 1, { timeoutMs: 5000 })).toBe(true);
  await pause(false);
  expect(await until(() => taken() === before + 1, { timeoutMs: 5000 })).toBe(true);
  const second = await mine.start('custom.odd', { how: 'ends' });
  const { started_at } = await mine.reaches(second, ['succeeded'], 30_000);
  const { status, finished_at } = await mine.get(first);
  expect(status).toBe('succeeded');
  expect(Date.parse(String(started_at))).toBeGreaterThanOrEqual(Date.parse(String(finished_at)));
});
