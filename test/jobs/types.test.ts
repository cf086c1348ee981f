import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { programEnvironment } from '../../functions/environment.ts';
import { until } from '../../functions/stack/until.ts';
import { http } from '../support/http.ts';
import { type Jobs, jobsOf } from '../support/jobs.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type TestWorker, testWorker } from '../support/worker.ts';

// Job types that come from a directory, with settings of their own.

const MODULES = fileURLToPath(new URL('modules', import.meta.url));

let stack: TestStack;
let worker: TestWorker;
let token: string;
let mine: Jobs;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  token = await stack.token({ tenant: 't_acme', role: 'member' });
  mine = jobsOf(stack.postgrest, token);
  worker = testWorker(stack, { env: { JOBS_DIR: MODULES } });
  await worker.start();
});
afterAll(async () => {
  await worker?.stop();
  await stack?.stop();
});

describe('JOBS_DIR', () => {
  test('adds its types, with what they declare', async () => {
    const { rows } = await stack.admin.query(
      `select type, max_attempts, max_result_bytes from tenancy.job_types where type like 'custom.%' order by type`,
    );
    expect(rows).toEqual([
      { type: 'custom.backoff', max_attempts: 3, max_result_bytes: 262_144 },
      { type: 'custom.crowd', max_attempts: 3, max_result_bytes: 262_144 },
      { type: 'custom.flaky', max_attempts: 1, max_result_bytes: 262_144 },
      { type: 'custom.large', max_attempts: 3, max_result_bytes: 1000 },
      { type: 'custom.note', max_attempts: 3, max_result_bytes: 262_144 },
      { type: 'custom.pair', max_attempts: 3, max_result_bytes: 262_144 },
      { type: 'custom.patience', max_attempts: 2, max_result_bytes: 262_144 },
      { type: 'custom.report', max_attempts: 3, max_result_bytes: 262_144 },
    ]);
  });

  test('keeps a worker from starting when a module in it is none, and names it', { timeout: 120_000 }, () => {
    const main = fileURLToPath(new URL('../../functions/worker/main.ts', import.meta.url));
    const refused = (name: string, source: string) => {
      const directory = mkdtempSync(join(tmpdir(), 'rowhouse-jobs-'));
      writeFileSync(join(directory, name), source);
      const env = programEnvironment({
        WORKER_DATABASE_URL: stack.database.worker,
        JOBS_DIR: directory,
        STORAGE_DIR: stack.storageDirectory,
        STORAGE_SECRET: stack.storageSecret,
      });
      const { status, stdout } = spawnSync(process.execPath, [main], { env, encoding: 'utf8', timeout: 30_000 });
      rmSync(directory, { recursive: true });
      const { err, msg } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}');
      return [status, msg, err?.code, String(err?.detail).replace(directory, '')];
    };
    const said = (detail: string) => [1, 'worker cannot start', 'config_invalid', `JOBS_DIR: /${detail}`];
    expect(refused('a.js', 'export const x = 1;')).toEqual(said('a.js: has no default export'));
    expect(refused('b.mjs', 'export default {')).toEqual(said('b.mjs: cannot be loaded: Unexpected end of input'));
    const job = (change: string) =>
      `export default ({ z }) => ({ type: 'a.b', description: 'x', input: z.object({}), async run() {}, ${change} })`;
    expect(refused('c.js', job(`type: 'A B'`))).toEqual(
      said('c.js: is no job type: type: words of a-z, 0-9 and _, with dots between'),
    );
    expect(refused('d.js', job('input: {}'))).toEqual(said('d.js: is no job type: input: a zod schema'));
    expect(refused('e.js', job('settings: { maxAttempts: 0 }'))).toEqual(
      said('e.js: is no job type: settings.maxAttempts: Too small: expected number to be >=1'),
    );
    // Their jobs would be taken for dead letters while they wait.
    expect(refused('g.js', job(`type: 'dead'`))).toEqual(
      said('g.js: is no job type: type: the queue of the dead letters is called so'),
    );
    expect(refused('h.js', 'throw undefined;')).toEqual(said('h.js: cannot be loaded: undefined'));
    expect(refused('f.ts', job(`type: 'csv.validate'`))).toEqual(said('f.ts: the type csv.validate is there already'));
  });
});

describe('the settings of a type', () => {
  test('limit its results: a larger one fails the job, which is not tried again', async () => {
    const small = await mine.start('custom.large', { bytes: 900 });
    expect((await mine.reaches(small, ['succeeded'])).result).toEqual({ text: 'x'.repeat(900) });
    const large = await mine.start('custom.large', { bytes: 1000 });
    const job = await mine.reaches(large, ['failed']);
    expect(job).toMatchObject({
      attempts: 1,
      result: null,
      error: { code: 'job_result_too_large', message: 'the result has 1012 bytes; custom.large may have 1000' },
    });
  });

  test('limit its results in the database, whoever writes them', async () => {
    const id = await mine.start('custom.large', { bytes: 1 });
    await mine.reaches(id, ['succeeded']);
    await expect(
      stack.admin.query(`update app.jobs set result = to_jsonb(repeat('x', 1001)) where id = $1`, [id]),
    ).rejects.toThrow('job_result_too_large');
  });

  test('limit its time: an attempt that takes longer is aborted, and counts', async () => {
    const id = await mine.start('custom.patience', { heeds: true });
    const again = async () => (await mine.get(id)).error?.code === 'job_timeout';
    expect(await until(again, { timeoutMs: 8000 })).toBe(true);
    expect((await mine.get(id)).error?.message).toBe('The attempt took longer than 2 s');
    const job = await mine.reaches(id, ['failed']);
    expect(job).toMatchObject({ attempts: 2, error: { code: 'job_attempts_exhausted' } });
  });

  test('limit its time, also for a handler that does not heed its signal', async () => {
    const id = await mine.start('custom.patience', { heeds: false });
    const job = await mine.reaches(id, ['failed'], 20_000);
    expect(job).toMatchObject({ attempts: 2, error: { code: 'job_attempts_exhausted' } });
    expect(await worker.logged('the handler does not heed its signal and is left behind', id)).toBe(true);
    // Its slot is free: it is the only one of this type.
    const next = await mine.start('custom.patience', { heeds: true });
    await mine.reaches(next, ['running']);
    expect((await mine.cancel(next)).status).toBe(200);
  });

  test('limit how many of its jobs run at once, whoever submitted them', async () => {
    const theirs = jobsOf(stack.postgrest, await stack.token({ tenant: 't_globex', role: 'member' }));
    /** The most that ran at once, as the handlers say: none can begin unseen. */
    const together = async (type: string) => {
      const started = await Promise.all(
        Array.from({ length: 8 }, async (_, nth) => {
          const jobs = nth % 2 === 0 ? mine : theirs;
          return { jobs, id: await jobs.start(type, { ms: 1500 }) };
        }),
      );
      const ended = await Promise.all(started.map(({ jobs, id }) => jobs.reaches(id, ['succeeded'], 40_000)));
      return Math.max(...ended.map(({ result }) => Number(result?.beside)));
    };
    // Up to four: two of each tenant, as their plans have it.
    expect(await together('custom.crowd')).toBeGreaterThan(2);
    expect(await together('custom.pair')).toBe(2);
  });

  test('space its attempts: as long as it says before the second, then twice as long, up to the most that it says', async () => {
    const id = await mine.start('custom.backoff', { until_attempt: 3 });
    const { rows } = await stack.admin.query(
      `select name, retry_delay, retry_delay_max from pgboss.queue where name in ('job.custom.backoff', 'job.custom.note') order by name`,
    );
    expect(rows).toEqual([
      { name: 'job.custom.backoff', retry_delay: 4, retry_delay_max: 8 },
      { name: 'job.custom.note', retry_delay: 1, retry_delay_max: 5 },
    ]);
    const { attempts, result } = await mine.reaches(id, ['succeeded'], 40_000);
    const [first = 0, second = 0, third = 0] = (result?.begun_at ?? []) as number[];
    expect(attempts).toBe(3);
    // The jitter adds to it, at most as much again: 4 to 8 s, then 8 to 16, of which 8 are allowed.
    expect(second - first).toBeGreaterThanOrEqual(4000);
    expect(third - second).toBeGreaterThanOrEqual(8000);
  });
});

describe('cancelling', () => {
  test('reaches the handler of a running job within two seconds', async () => {
    const id = await mine.start('test.steps', { steps: 1, step_ms: 60_000 });
    await mine.reaches(id, ['running']);
    const took: number[] = [];
    const begun = performance.now();
    expect((await mine.cancel(id)).status).toBe(200);
    expect(await worker.logged('job cancelled', id)).toBe(true);
    took.push(performance.now() - begun);
    expect(took[0]).toBeLessThan(2000);
  });
});

describe('a trace', () => {
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736';

  test('joins the submission, the ledger, the message, the log and what the job writes', async () => {
    const headers = { prefer: 'return=representation' };
    const file = await http<{ id: string }[]>(`${stack.postgrest}/files`, {
      token,
      headers,
      body: { name: 'before.txt', content_type: 'text/plain', size: 1 },
    });
    const fileId = file.body[0]?.id;
    const submitted = await http<{ id: string; traceparent: string }[]>(`${stack.postgrest}/jobs`, {
      token,
      headers: { ...headers, traceparent: `00-${trace}-00f067aa0ba902b7-01` },
      body: { type: 'custom.note', input: { file_id: fileId, name: 'after.txt' } },
    });
    const id = submitted.body[0]?.id ?? '';
    expect(submitted.body[0]?.traceparent).toBe(`00-${trace}-00f067aa0ba902b7-01`);
    const job = await mine.reaches(id, ['succeeded']);
    // A span of the attempt, in the same trace, for what it calls.
    expect(job.result?.traceparent).toMatch(new RegExp(`^00-${trace}-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$`));

    const { rows: message } = await stack.admin.query(
      `select data ->> 'traceparent' as traceparent from pgboss.job where data ->> 'job_id' = $1`,
      [id],
    );
    expect(message).toEqual([{ traceparent: `00-${trace}-00f067aa0ba902b7-01` }]);
    const { rows: entries } = await stack.admin.query(
      `select table_name, operation, split_part(subject, ':', 1) as subject, new ->> 'status' as status, new ->> 'name' as name
       from ledger.entries where trace_id = $1 order by position`,
      [trace],
    );
    expect(entries).toEqual([
      { table_name: 'app.jobs', operation: 'insert', subject: 'member', status: 'queued', name: null },
      { table_name: 'app.jobs', operation: 'update', subject: 'worker', status: 'running', name: null },
      { table_name: 'app.files', operation: 'update', subject: 'worker', status: 'pending', name: 'after.txt' },
      { table_name: 'app.jobs', operation: 'update', subject: 'worker', status: 'succeeded', name: null },
    ]);
    const logged = worker.lines().filter((line) => line.includes(id));
    expect(logged.map((line) => JSON.parse(line).msg)).toEqual(expect.arrayContaining(['renaming', 'job succeeded']));
    expect(logged.filter((line) => JSON.parse(line).trace_id !== trace)).toEqual([]);
  });

  test('that is none leaves the job with one of its own', async () => {
    const answer = await http<{ id: string; traceparent: null }[]>(`${stack.postgrest}/jobs`, {
      token,
      headers: { prefer: 'return=representation', traceparent: 'nonsense-"; drop' },
      body: { type: 'test.steps', input: { steps: 1, step_ms: 1 } },
    });
    expect([answer.status, answer.body[0]?.traceparent]).toEqual([201, null]);
    const id = answer.body[0]?.id ?? '';
    await mine.reaches(id, ['succeeded']);
    const line = worker.lines().find((printed) => printed.includes(id) && printed.includes('job succeeded'));
    expect(JSON.parse(line ?? '{}').trace_id).toBe(id.replaceAll('-', ''));
  });
});

describe('a transaction of a job', () => {
  test('sees the rows of its own tenant alone', async () => {
    const stranger = await stack.token({ tenant: 't_globex', role: 'member' });
    const file = await http<{ id: string }[]>(`${stack.postgrest}/files`, {
      token: stranger,
      headers: { prefer: 'return=representation' },
      body: { name: 'theirs.txt', content_type: 'text/plain', size: 1 },
    });
    const id = await mine.start('custom.note', { file_id: file.body[0]?.id, name: 'mine.txt' });
    const job = await mine.reaches(id, ['failed']);
    expect(job.error).toEqual({ code: 'note_nothing_there', message: 'no such file' });
  });
});
