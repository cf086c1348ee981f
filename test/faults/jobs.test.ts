import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../../functions/stack/until.ts';
import { http } from '../support/http.ts';
import { type Jobs, jobsOf } from '../support/jobs.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type TestWorker, testWorker } from '../support/worker.ts';

// Workers that die, hang and lose their database. Nothing is lost, and nothing is done twice.

let stack: TestStack;
let token: string;
let acme: Jobs;
let globex: Jobs;
const workers: TestWorker[] = [];

beforeAll(async () => {
  stack = await createTestStack();
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  token = await stack.token({ tenant: 't_acme' });
  acme = jobsOf(stack.postgrest, token);
  globex = jobsOf(stack.postgrest, await stack.token({ tenant: 't_globex' }));
});

afterAll(async () => {
  await Promise.all(workers.map((worker) => worker.stop()));
  await stack?.stop();
});

async function started(options: { restart?: boolean } = {}): Promise<TestWorker> {
  const worker = testWorker(stack, options);
  workers.push(worker);
  await worker.start();
  return worker;
}

async function count(sql: string, ...values: unknown[]): Promise<number> {
  const { rows } = await stack.admin.query<{ n: number }>(sql, values);
  return rows[0]?.n ?? 0;
}

const handedOver = (id: string) => count(`select count(*)::int as n from pgboss.job where data ->> 'job_id' = $1`, id);
const holds = (check: () => Promise<boolean>) => until(check, { timeoutMs: 10_000 });

describe('a worker that is killed', { timeout: 60_000 }, () => {
  test('in the middle of a job leaves it to the next one, which repeats no finding and no file', async () => {
    const first = await started();
    const id = await acme.start('test.steps', { steps: 25, step_ms: 80 });
    expect(await holds(async () => (await acme.findings(id)).length >= 5)).toBe(true);
    await first.kill();
    const before = (await acme.findings(id)).length;
    expect(before).toBeLessThan(25);
    const meanwhile = await Promise.all([1, 2, 3].map(() => globex.start('test.steps', { steps: 1, step_ms: 1 })));

    const second = await started();
    for (const other of meanwhile) expect((await globex.reaches(other, ['succeeded'])).attempts).toBe(1);
    const job = await acme.reaches(id, ['succeeded'], 30_000);
    expect(job).toMatchObject({ attempts: 2, result: { steps: 25, attempt: 2 } });
    const findings = await acme.findings(id);
    expect(findings.map(({ ordinal }) => ordinal)).toEqual(Array.from({ length: 25 }, (_, ordinal) => ordinal));
    expect(findings.filter(({ message }) => message === 'attempt 1')).toHaveLength(before);
    const files = await http(`${stack.postgrest}/files?job_id=eq.${id}&select=id,status`, { token });
    expect(files.body).toEqual([{ id: job.result?.report, status: 'stored' }]);
    await second.stop();
  });

  test('between taking from the ledger and committing hands each job over once', async () => {
    const first = await started();
    const blocker = await stack.admin.connect();
    await blocker.query('begin');
    await blocker.query('lock table pgboss.job_common in share mode');
    const id = await acme.start('test.steps', { steps: 1, step_ms: 1 });
    const stuck = () =>
      count(`select count(*)::int as n from pg_stat_activity where datname = current_database()
        and application_name = 'rowhouse-worker-dispatcher' and wait_event_type = 'Lock'`);
    expect(await holds(async () => (await stuck()) === 1)).toBe(true);
    await first.kill();
    await blocker.query('commit');
    blocker.release();

    const second = await started();
    expect(await acme.reaches(id, ['succeeded'])).toMatchObject({ attempts: 1 });
    expect(await handedOver(id)).toBe(1);
    await second.stop();
  });
});

describe('a worker that was taken for dead', { timeout: 90_000 }, () => {
  test('finds its job taken over, and changes nothing any more', async () => {
    const frozen = await started();
    const id = await acme.start('test.steps', { steps: 40, step_ms: 250 });
    expect(await holds(async () => (await acme.findings(id)).length >= 2)).toBe(true);
    frozen.signal('SIGSTOP');
    const other = await started();
    expect(await until(async () => (await acme.get(id)).attempts === 2, { timeoutMs: 30_000 })).toBe(true);
    frozen.signal('SIGCONT');

    expect(await frozen.logged('job left', id)).toBe(true);
    expect(await acme.reaches(id, ['succeeded'], 30_000)).toMatchObject({ attempts: 2, result: { attempt: 2 } });
    expect(await acme.findings(id)).toHaveLength(40);
    await Promise.all([frozen.stop(), other.stop()]);
  });
});

describe('a worker that is stopped', { timeout: 60_000 }, () => {
  test('hands its job back, which does not count against its attempts', async () => {
    const first = await started();
    const id = await acme.start('test.steps', { steps: 120, step_ms: 100 });
    await acme.reaches(id, ['running']);
    await first.stop();
    expect(await acme.get(id)).toMatchObject({ status: 'queued', error: { code: 'worker_stopped' } });
    const { rows } = await stack.admin.query(
      `select state::text, data ->> 'handed_back' as handed_back from pgboss.job
       where data ->> 'job_id' = $1 and state <> 'completed'`,
      [id],
    );
    expect(rows).toEqual([{ state: 'created', handed_back: '1' }]);
    await acme.cancel(id);
  });
});

describe('a worker that loses its database', { timeout: 60_000 }, () => {
  test('reconnects, ends what it was running, and runs what was submitted meanwhile', async () => {
    const worker = await started();
    const running = await acme.start('test.steps', { steps: 60, step_ms: 25 });
    expect(await holds(async () => (await acme.findings(running)).length >= 5)).toBe(true);
    const cut = await count(
      `select count(pg_terminate_backend(pid))::int as n from pg_stat_activity
       where datname = current_database() and usename = 'rowhouse_worker'`,
    );
    expect(cut).toBeGreaterThan(2);
    const ids = await Promise.all([1, 2, 3, 4, 5].map(() => acme.start('test.steps', { steps: 1, step_ms: 1 })));
    for (const id of ids) {
      await acme.reaches(id, ['succeeded'], 30_000);
      expect(await handedOver(id)).toBe(1);
    }
    await acme.reaches(running, ['succeeded'], 30_000);
    expect(await acme.findings(running)).toHaveLength(60);
    await worker.stop();
  });
});

describe('a job that kills its worker', { timeout: 150_000 }, () => {
  test('ends among the dead letters of its tenant, and the jobs of others run to their end', async () => {
    const worker = await started({ restart: true });
    const beside = await Promise.all([1, 2].map(() => globex.start('test.steps', { steps: 30, step_ms: 100 })));
    for (const id of beside) await globex.reaches(id, ['running']);
    const poison = await acme.start('test.crash', {});

    const dead = await acme.reaches(poison, ['failed'], 100_000);
    expect(dead).toMatchObject({ attempts: 3, error: { code: 'job_attempts_exhausted' } });
    for (const id of beside) await globex.reaches(id, ['succeeded'], 60_000);
    const after = await globex.start('test.steps', { steps: 1, step_ms: 1 });
    await globex.reaches(after, ['succeeded']);

    const { rows } = await stack.admin.query('select tenant_id, type, job_id, code from ledger.dead_letters()');
    expect(rows).toEqual([{ tenant_id: 't_acme', type: 'test.crash', job_id: poison, code: null }]);
    // The queue's own letter only brought the news.
    const letters = () => count(`select count(*)::int as n from pgboss.job where name = 'job.dead'`);
    expect(await holds(async () => (await letters()) === 0)).toBe(true);
    await worker.stop();
  });
});
