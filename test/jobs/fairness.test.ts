import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../../functions/stack/until.ts';
import { http } from '../support/http.ts';
import { type Jobs, jobsOf } from '../support/jobs.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type TestWorker, testWorker } from '../support/worker.ts';

// What one tenant has queued is not what another waits for.

const BACKLOG = 5000;
const LARGE = ['t_large', 't_larger', 't_largest'];

let stack: TestStack;
let worker: TestWorker;
let small: Jobs;

beforeAll(async () => {
  stack = await createTestStack();
  for (const tenant of [...LARGE, 't_small']) await stack.createTenant(tenant);
  small = jobsOf(stack.postgrest, await stack.token({ tenant: 't_small', role: 'member' }));
  worker = testWorker(stack);
  await worker.start();
});
afterAll(async () => {
  await worker?.kill();
  await stack?.stop();
});

/** How long each of a few jobs of the small tenant, submitted one after the other, has waited for its start. */
async function waits(count: number): Promise<number[]> {
  const waited: number[] = [];
  for (let nth = 0; nth < count; nth += 1) {
    const id = await small.start('test.steps', { steps: 1, step_ms: 1 });
    await small.reaches(id, ['succeeded'], 60_000);
    const { rows } = await stack.admin.query<{ ms: number }>(
      'select extract(epoch from started_at - queued_at)::float8 * 1000 as ms from app.jobs where id = $1',
      [id],
    );
    waited.push(rows[0]?.ms ?? Number.NaN);
  }
  return waited.toSorted((a, b) => a - b);
}

async function queued(tenants: string[]): Promise<{ waiting: number; active: number }> {
  const { rows } = await stack.admin.query<{ waiting: number; active: number }>(
    // Active: as the handlers say, since pg-boss is told that a job has ended a moment later.
    `select (select count(*)::int from pgboss.job where name = 'job.test.steps' and group_id = any ($1) and state = 'created') as waiting,
       (select count(*)::int from app.jobs where tenant_id = any ($1) and status = 'running') as active`,
    [tenants],
  );
  return rows[0] ?? { waiting: 0, active: 0 };
}

async function queue(tenant: string, count: number): Promise<void> {
  const token = await stack.token({ tenant, role: 'member' });
  const body = Array.from({ length: 500 }, () => ({ type: 'test.steps', input: { steps: 2, step_ms: 100 } }));
  for (let made = 0; made < count; made += body.length) {
    expect((await http(`${stack.postgrest}/jobs`, { token, body })).status).toBe(201);
  }
  const handedOver = async () => {
    const { waiting, active } = await queued([tenant]);
    return waiting > count * 0.9 && active > 0;
  };
  expect(await until(handedOver, { timeoutMs: 60_000 })).toBe(true);
}

const tell = (name: string, waited: number[]) =>
  process.stderr.write(`waited for a start ${name}: ${waited.map(Math.round).join(' ')} ms\n`);

test('a small tenant’s jobs start at once while a large one has 5,000 queued', { timeout: 180_000 }, async () => {
  tell('alone', await waits(10));
  await queue('t_large', BACKLOG);
  const beside = await waits(20);
  const { waiting, active } = await queued(['t_large']);
  tell(`beside ${waiting}`, beside);
  // The backlog is still there, and still worked at, by no more than its plan allows: two of four slots.
  expect(waiting).toBeGreaterThan(BACKLOG / 2);
  expect(active).toBeLessThanOrEqual(2);
  expect(beside.at(-1)).toBeLessThan(5000);
});

test('and while several have, who could fill every slot for minutes', { timeout: 180_000 }, async () => {
  await queue('t_larger', 1000);
  await queue('t_largest', 1000);
  const beside = await waits(20);
  const { waiting, active } = await queued(LARGE);
  tell(`beside ${waiting}`, beside);
  expect(waiting).toBeGreaterThan(BACKLOG / 2);
  expect(active).toBeGreaterThanOrEqual(3);
  // Until a slot is free, of jobs that take 0.2 s each, and no longer.
  expect(beside.at(-1)).toBeLessThan(5000);
});

test('and the large ones take turns among each other', { timeout: 180_000 }, async () => {
  const begun = async () => {
    const { rows } = await stack.admin.query<{ n: number }>(
      `select count(*)::int as n from unnest($1::text[]) as tenant
       left join app.jobs as j on j.tenant_id = tenant and j.status <> 'queued' group by tenant order by tenant`,
      [LARGE],
    );
    return rows.map(({ n }) => n);
  };
  const before = await begun();
  const since = async () => (await begun()).map((n, nth) => n - (before[nth] ?? 0));
  expect(await until(async () => (await since()).reduce((a, b) => a + b) >= 60, { timeoutMs: 60_000 })).toBe(true);
  // A third each, were it not for who has just had a slot.
  for (const share of await since()) expect(share).toBeGreaterThan(10);
});
