import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { packageRoot } from '../../functions/paths.ts';
import { until } from '../../functions/stack/until.ts';
import { http } from '../support/http.ts';
import { type Jobs, jobsOf } from '../support/jobs.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type TestWorker, testWorker } from '../support/worker.ts';

// `rowhouse queue`, and what an operator can do through the API.

interface Letter {
  id: string;
  job_id: string;
  tenant_id: string;
  type: string;
  code: string;
}

interface Status {
  type: string;
  waiting: number;
  active: number;
  dead: number;
  oldest_seconds: number | null;
  paused_at: string | null;
  tenants: { tenant_id: string; waiting: number }[];
}

let stack: TestStack;
let worker: TestWorker;
let mine: Jobs;
let theirs: Jobs;

beforeAll(async () => {
  stack = await createTestStack();
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
  mine = jobsOf(stack.postgrest, await stack.token({ tenant: 't_acme', role: 'member' }));
  theirs = jobsOf(stack.postgrest, await stack.token({ tenant: 't_globex', role: 'member' }));
  worker = testWorker(stack, { env: { JOBS_DIR: fileURLToPath(new URL('modules', import.meta.url)) } });
  await worker.start();
});
afterAll(async () => {
  await worker?.stop();
  await stack?.stop();
});
beforeEach(() => stack.admin.query(`delete from pgboss.job where name = 'job.dead'`));

/** `rowhouse queue … --json`: exit code, and what it printed. */
function queue<Printed = unknown>(
  args: string[],
  url = stack.database.worker,
): Promise<[code: number, printed: Printed]> {
  const command = [join(packageRoot, 'functions/cli/main.ts'), 'queue', ...args, '--json'];
  const env = { ...process.env, DATABASE_URL: url };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, command, { env }, (_error, stdout, stderr) => {
      resolve([child.exitCode ?? -1, JSON.parse(stdout || stderr)]);
    });
  });
}

async function statusOf(type: string): Promise<Status | undefined> {
  return (await queue<Status[]>(['status']))[1].find((status) => status.type === type);
}

const deadJobs = async (...args: string[]) => (await queue<Letter[]>(['dead', ...args]))[1].map(({ job_id }) => job_id);

/** Jobs whose one attempt failed, and which are among the dead letters. */
async function died(jobs: Jobs, count: number): Promise<string[]> {
  const ids = await Promise.all(Array.from({ length: count }, () => jobs.start('custom.flaky', { until_attempt: 2 })));
  for (const id of ids) await jobs.reaches(id, ['failed']);
  const listed = async () => (await deadJobs()).filter((id) => ids.includes(id)).length === count;
  expect(await until(listed, { timeoutMs: 10_000 })).toBe(true);
  return ids;
}

describe('dead letters', { timeout: 120_000 }, () => {
  test('are listed with their tenant and what the last attempt said, narrowed by type and tenant', async () => {
    const [id = ''] = await died(mine, 1);
    const [other = ''] = await died(theirs, 1);
    const [code, letters] = await queue<Letter[]>(['dead']);
    expect(code).toBe(0);
    expect(letters).toMatchObject([
      { job_id: id, tenant_id: 't_acme', type: 'custom.flaky', code: 'internal' },
      { job_id: other, tenant_id: 't_globex', type: 'custom.flaky', code: 'internal' },
    ]);
    expect(await deadJobs('--tenant', 't_globex')).toEqual([other]);
    expect(await deadJobs('--type', 'csv.validate')).toEqual([]);
    expect(await deadJobs('--limit', '1')).toEqual([id]);
    expect(await statusOf('custom.flaky')).toMatchObject({ dead: 2, waiting: 0, active: 0 });
  });

  test('are redriven one by one, by tenant or all, and a dry run changes nothing', async () => {
    const [first = '', second = ''] = await died(mine, 2);
    const [other = ''] = await died(theirs, 1);
    const [, shown] = await queue<Letter[]>(['redrive', '--all', '--dry-run']);
    expect(shown.map(({ job_id }) => job_id).toSorted()).toEqual([first, second, other].toSorted());
    expect((await mine.get(first)).status).toBe('failed');

    expect(await queue(['redrive', first])).toEqual([0, { redriven: 1, outdated: 0, suspended: 0 }]);
    expect(await mine.reaches(first, ['succeeded'])).toMatchObject({
      attempts: 2,
      result: { attempt: 2 },
      error: null,
    });
    expect((await mine.get(second)).status).toBe('failed');

    expect(await queue(['redrive', '--tenant', 't_globex'])).toEqual([0, { redriven: 1, outdated: 0, suspended: 0 }]);
    await theirs.reaches(other, ['succeeded']);
    expect(await queue(['redrive', '--all'])).toEqual([0, { redriven: 1, outdated: 0, suspended: 0 }]);
    await mine.reaches(second, ['succeeded']);
    expect(await deadJobs()).toEqual([]);

    const { rows } = await stack.admin.query(
      `select subject from ledger.entries where row_id = $1 and old ->> 'status' = 'failed' and new ->> 'status' = 'queued'`,
      [first],
    );
    expect(rows).toEqual([{ subject: 'operator:redrive' }]);
  });

  test('of jobs that their tenants have retried or deleted are outdated', async () => {
    const [retried = '', deleted = ''] = await died(mine, 2);
    await mine.retry(retried);
    await mine.reaches(retried, ['succeeded']);
    const token = await stack.token({ tenant: 't_acme', role: 'member' });
    expect((await http(`${stack.postgrest}/jobs?id=eq.${deleted}`, { method: 'DELETE', token })).status).toBe(204);
    expect(await queue(['redrive', '--all'])).toEqual([0, { redriven: 0, outdated: 2, suspended: 0 }]);
    expect(await mine.get(retried)).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(await deadJobs()).toEqual([]);
  });

  test('of a suspended tenant stay', async () => {
    const [id = ''] = await died(theirs, 1);
    await stack.migrator.query(`select tenancy.suspend_tenant('t_globex')`);
    expect(await queue(['redrive', '--all'])).toEqual([0, { redriven: 0, outdated: 0, suspended: 1 }]);
    await stack.migrator.query(`select tenancy.resume_tenant('t_globex')`);
    expect(await queue(['redrive', id])).toEqual([0, { redriven: 1, outdated: 0, suspended: 0 }]);
    await theirs.reaches(id, ['succeeded']);
  });

  test('are redriven no faster than is asked for', async () => {
    await died(mine, 5);
    const begun = performance.now();
    expect(await queue(['redrive', '--type', 'custom.flaky', '--rate', '2'])).toMatchObject([0, { redriven: 5 }]);
    expect(performance.now() - begun).toBeGreaterThan(2000);
  });

  test('of files whose bytes could not be removed go back to their own queue', async () => {
    const purge = { tenant_id: 't_acme', file_id: '01990000-0000-7000-8000-000000000001' };
    await stack.admin.query(
      `insert into pgboss.job (name, data, group_id, source_name, source_id, source_output)
       values ('job.dead', $1, 't_acme', 'storage.purge', gen_random_uuid(), '{"code": "storage_unavailable"}')`,
      [purge],
    );
    const [, letters] = await queue<Letter[]>(['dead', '--type', 'storage.purge']);
    expect(letters).toMatchObject([
      { job_id: null, tenant_id: 't_acme', type: 'storage.purge', code: 'storage_unavailable' },
    ]);
    expect(await queue(['redrive', letters[0]?.id ?? ''])).toEqual([0, { redriven: 1, outdated: 0, suspended: 0 }]);
    const done = () =>
      stack.admin.query(`select from pgboss.job where name = 'storage.purge' and state = 'completed' and data = $1`, [
        purge,
      ]);
    expect(await until(async () => (await done()).rowCount === 1, { timeoutMs: 10_000 })).toBe(true);
    expect(await deadJobs()).toEqual([]);
  });

  test('that are not there are refused by name, and no other is redriven', async () => {
    const [dead] = await died(mine, 1);
    expect(await queue(['redrive', dead as string, 'nothing'])).toMatchObject([
      1,
      { code: 'job_not_found', detail: 'no dead letter of nothing; nothing was redriven' },
    ]);
    expect(await deadJobs()).toEqual([dead]);
    expect(await queue(['pause', 'nothing'])).toMatchObject([1, { code: 'job_type_unknown' }]);
  });

  test('are not redriven all by mistake', async () => {
    expect(await queue(['redrive'])).toMatchObject([2, { code: 'usage_invalid' }]);
    expect(await queue(['redrive', '--all', '--tenant', 't_acme'])).toMatchObject([2, { code: 'usage_invalid' }]);
  });
});

describe('a type that is paused', { timeout: 120_000 }, () => {
  const brief = { steps: 1, step_ms: 1 };

  test('is taken no more within seconds, on workers that start later, too, until it is resumed', async () => {
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
    expect(await queue(['pause', 'custom.none'])).toMatchObject([1, { code: 'job_type_unknown' }]);
  });
});

test('another login than the worker’s is told which one to use', async () => {
  const [code, printed] = await queue<{ code: string; hint: string }>(['status'], stack.database.migrator);
  expect([code, printed.code]).toEqual([1, 'permission_denied']);
  expect(printed.hint).toContain('rowhouse_worker');
});
