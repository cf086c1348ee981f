import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../../functions/stack/until.ts';
import { http } from '../support/http.ts';
import { testWorker } from '../support/worker.ts';
import { createQueueWorld, type QueueWorld } from './queue-command.ts';

// `rowhouse queue`, and what an operator can do through the API, but for dead letters.

let world: QueueWorld;

beforeAll(async () => {
  world = await createQueueWorld();
}, 120_000);
afterAll(() => world?.stop());

describe('a type that is paused', { timeout: 120_000 }, () => {
  const brief = { steps: 1, step_ms: 1 };

  test('is taken no more within seconds, on workers that start later, too, until it is resumed', async () => {
    const { stack, worker, mine, theirs, queue, statusOf } = world;
    const running = await mine.start('test.steps', { steps: 40, step_ms: 100 });
    await mine.reaches(running, ['running']);
    const begun = performance.now();
    expect(await queue(['pause', 'test.steps'])).toMatchObject([
      0,
      { type: 'test.steps', paused_at: expect.any(String) },
    ]);
    expect(await worker.logged('job type paused', 'test.steps')).toBe(true);
    expect(performance.now() - begun).toBeLessThan(5000);

    const waiting = await Promise.all([1, 2, 3].map(() => mine.start('test.steps', brief)));
    const other = await mine.start('custom.flaky', { until_attempt: 1 });
    await mine.reaches(other, ['succeeded']);
    // What runs goes on.
    expect(await mine.reaches(running, ['succeeded'])).toMatchObject({ attempts: 1 });
    const counted = async () => (await statusOf('test.steps'))?.waiting === 3;
    expect(await until(counted, { timeoutMs: 10_000 })).toBe(true);
    const status = await statusOf('test.steps');
    expect(status).toMatchObject({ active: 0, tenants: [{ tenant_id: 't_acme', waiting: 3 }] });
    expect(status?.oldest_seconds).toBeGreaterThan(0);
    expect(status?.paused_at).not.toBeNull();

    const second = testWorker(stack);
    await second.start();
    const after = await theirs.start('test.fail', { until_attempt: 1, final: false });
    await theirs.reaches(after, ['succeeded']);
    for (const id of waiting) expect((await mine.get(id)).status).toBe('queued');
    expect(await queue(['resume', 'test.steps'])).toEqual([0, { type: 'test.steps', paused_at: null }]);
    for (const id of waiting) expect(await mine.reaches(id, ['succeeded'])).toMatchObject({ attempts: 1 });
    await second.stop();
  });

  test('can be paused by operators through the API, and by nobody else', async () => {
    const { stack } = world;
    const call = async (token: string, name: string, type: string) => {
      const { status, body } = await http<{ code?: string; type?: string; paused_at?: string | null }[]>(
        `${stack.postgrest}/rpc/${name}`,
        { token, headers: { 'content-profile': 'admin' }, body: { type } },
      );
      return [status, body];
    };
    const operator = await stack.operatorToken();
    const owner = await stack.token({ tenant: 't_acme', role: 'owner' });
    expect(await call(operator, 'pause_job_type', 'custom.large')).toMatchObject([
      200,
      [{ type: 'custom.large', paused_at: expect.any(String) }],
    ]);
    expect(await call(owner, 'resume_job_type', 'custom.large')).toMatchObject([403, { code: '42501' }]);
    const shown = await http(
      `${stack.postgrest}/job_types?type=eq.custom.large&select=type,max_result_bytes,paused_at`,
      {
        token: operator,
        headers: { 'accept-profile': 'admin' },
      },
    );
    expect(shown.body).toEqual([{ type: 'custom.large', max_result_bytes: 1000, paused_at: expect.any(String) }]);
    expect(await call(operator, 'resume_job_type', 'custom.large')).toMatchObject([200, [{ paused_at: null }]]);
    expect(await call(operator, 'pause_job_type', 'custom.none')).toMatchObject([422, { code: 'job_type_unknown' }]);
  });

  test('has to be one', async () => {
    expect(await world.queue(['pause', 'custom.none'])).toMatchObject([1, { code: 'job_type_unknown' }]);
  });
});

describe('a type that no worker runs', () => {
  test('is shown as such while jobs of it wait', async () => {
    const { stack, mine, statusOf, lineOf } = world;
    await stack.admin.query(`insert into tenancy.job_types (type, description) values ('test.nobody', 'once run')`);
    expect(await statusOf('test.nobody')).toMatchObject({ workers: 0, waiting: 0 });
    expect(await lineOf('test.nobody')).not.toContain('no worker runs it');
    await mine.start('test.nobody', {});
    expect(await until(async () => (await statusOf('test.nobody'))?.waiting === 1, { timeoutMs: 10_000 })).toBe(true);
    expect(await statusOf('test.nobody')).toMatchObject({ workers: 0, waiting: 1 });
    expect(await lineOf('test.nobody')).toContain('no worker runs it');
    expect(await lineOf('test.steps')).not.toContain('no worker runs it');
  });

  test('is told from one that some run, of whom each is counted until it ends', async () => {
    const { stack, statusOf } = world;
    const workers = async () => [(await statusOf('test.steps'))?.workers, (await statusOf('custom.flaky'))?.workers];
    const become = (counts: number[]) => expect.poll(workers, { timeout: 10_000, interval: 100 }).toEqual(counts);
    await become([1, 1]);
    // It has not the types of JOBS_DIR.
    const second = testWorker(stack);
    await second.start();
    await become([2, 1]);
    await second.stop();
    await become([1, 1]);
    // A connection that breaks is followed by another.
    const holders = async (sql: string) =>
      (
        await stack.admin.query(
          `select distinct pid, ${sql} from pg_locks where locktype = 'advisory' and classid::bigint >> 16 = 21066
           and database = (select oid from pg_database where datname = current_database())`,
        )
      ).rows.map(({ pid }) => pid);
    const [broken] = await holders('pg_terminate_backend(pid, 5000)');
    await become([1, 1]);
    expect(await holders('null')).toEqual([expect.not.toSatisfy((pid) => pid === broken)]);
  });

  test('is refused where none ever has', async () => {
    const { status, body } = await http<{ code: string; hint: string }>(`${world.stack.postgrest}/jobs`, {
      token: await world.stack.token({ tenant: 't_acme', role: 'member' }),
      body: { type: 'csv.validat' },
    });
    expect([status, body.code]).toEqual([422, 'job_type_unknown']);
    expect(body.hint).toContain('csv.validate');
  });
});

test('another login than the worker’s is told which one to use', async () => {
  const { stack, queue } = world;
  const [code, printed] = await queue<{ code: string; hint: string }>(['status'], stack.database.migrator);
  expect([code, printed.code]).toEqual([1, 'permission_denied']);
  expect(printed.hint).toContain('rowhouse_worker');
});
