import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { until } from '../../functions/stack/until.ts';
import { http } from '../support/http.ts';
import { createQueueWorld, type Letter, type QueueWorld } from './queue-command.ts';

// Dead letters, as `rowhouse queue` lists and redrives them.

let world: QueueWorld;

beforeAll(async () => {
  world = await createQueueWorld();
}, 120_000);
afterAll(() => world?.stop());
beforeEach(() => world.clear());

test('are listed with their tenant and what the last attempt said, narrowed by type and tenant', async () => {
  const { mine, theirs, queue, died, deadJobs, statusOf } = world;
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
}, 60_000);

test('say to their tenant as well what the last attempt died of', async () => {
  const [id = ''] = await world.died(world.mine, 1);
  expect((await world.mine.get(id)).error).toEqual({
    code: 'job_attempts_exhausted',
    message: 'Every attempt at this job failed; retry it when the cause is gone',
    cause: 'internal',
  });
}, 60_000);

test('are redriven one by one, by tenant or all, and a dry run changes nothing', async () => {
  const { stack, mine, theirs, queue, died, deadJobs } = world;
  const [first = '', second = ''] = await died(mine, 2);
  const [other = ''] = await died(theirs, 1);
  const [, shown] = await queue<Letter[]>(['redrive', '--all', '--dry-run']);
  expect(shown.map(({ job_id }) => job_id).toSorted()).toEqual([first, second, other].toSorted());
  expect((await mine.get(first)).status).toBe('failed');

  expect(await queue(['redrive', first])).toEqual([0, { redriven: 1, outdated: 0, suspended: 0 }]);
  expect(await mine.reaches(first, ['succeeded'])).toMatchObject({ attempts: 2, result: { attempt: 2 }, error: null });
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
}, 60_000);

test('are none any more, nor counted as one, when their tenants have retried or deleted the job', async () => {
  const { stack, mine, queue, died, deadJobs, statusOf } = world;
  const [retried = '', deleted = ''] = await died(mine, 2);
  expect(await statusOf('custom.flaky')).toMatchObject({ dead: 2 });
  await mine.retry(retried);
  await mine.reaches(retried, ['succeeded']);
  expect(await deadJobs()).toEqual([deleted]);
  expect(await statusOf('custom.flaky')).toMatchObject({ dead: 1 });
  const token = await stack.token({ tenant: 't_acme', role: 'member' });
  expect((await http(`${stack.postgrest}/jobs?id=eq.${deleted}`, { method: 'DELETE', token })).status).toBe(204);
  expect(await deadJobs()).toEqual([]);
  expect(await statusOf('custom.flaky')).toMatchObject({ dead: 0 });
  expect(await queue(['redrive', '--all'])).toEqual([0, { redriven: 0, outdated: 0, suspended: 0 }]);
  expect(await mine.get(retried)).toMatchObject({ status: 'succeeded', attempts: 2 });
}, 60_000);

test('that their tenants retry while others are redriven are left alone', async () => {
  const { mine, queue, died } = world;
  const early = await died(mine, 2);
  const [last = ''] = await died(mine, 1);
  const redriving = queue(['redrive', '--all', '--rate', '1']);
  const begun = async () => (await Promise.all(early.map(mine.get))).some(({ attempts }) => attempts === 2);
  expect(await until(begun, { timeoutMs: 10_000 })).toBe(true);
  // Its turn comes two seconds after the first one's.
  await mine.retry(last);
  expect(await redriving).toEqual([0, { redriven: 2, outdated: 1, suspended: 0 }]);
  expect(await mine.reaches(last, ['succeeded'])).toMatchObject({ attempts: 2 });
}, 60_000);

test('of a suspended tenant stay', async () => {
  const { stack, mine, theirs, queue, died } = world;
  const [id = ''] = await died(theirs, 1);
  const [own = ''] = await died(mine, 1);
  await stack.migrator.query(`select tenancy.suspend_tenant('t_globex')`);
  try {
    expect((await queue<Letter[]>(['redrive', '--all', '--dry-run']))[1].map(({ job_id }) => job_id)).toEqual([own]);
    expect(await queue(['redrive', '--all', '--limit', '1'])).toEqual([0, { redriven: 1, outdated: 0, suspended: 1 }]);
  } finally {
    await stack.migrator.query(`select tenancy.resume_tenant('t_globex')`);
  }
  expect(await queue(['redrive', id])).toEqual([0, { redriven: 1, outdated: 0, suspended: 0 }]);
  await theirs.reaches(id, ['succeeded']);
}, 60_000);

test('are redriven no faster than is asked for, and no more of them', async () => {
  const { mine, queue, died, deadJobs } = world;
  const ids = await died(mine, 6);
  const listed = await deadJobs();
  expect(listed.toSorted()).toEqual(ids.toSorted());
  const begun = performance.now();
  const redrive = ['redrive', '--type', 'custom.flaky', '--rate', '2', '--limit', '5'];
  expect(await queue(redrive)).toMatchObject([0, { redriven: 5 }]);
  expect(performance.now() - begun).toBeGreaterThan(2000);
  expect(await deadJobs()).toEqual(listed.slice(5));
}, 60_000);

test('of files whose bytes could not be removed go back to their own queue', async () => {
  const { stack, queue, deadJobs, statusOf } = world;
  const purge = { tenant_id: 't_acme', file_id: '01990000-0000-7000-8000-000000000001' };
  await stack.admin.query(
    `insert into pgboss.job (name, data, group_id, source_name, source_id, source_output)
     values ('job.dead', $1, 't_acme', 'storage.purge', gen_random_uuid(), '{"code": "storage_unavailable"}')`,
    [purge],
  );
  expect(await statusOf('storage.purge')).toMatchObject({ dead: 1 });
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
}, 60_000);

test('that are not there are refused by name, and no other is redriven', async () => {
  const { mine, queue, died, deadJobs } = world;
  const [dead] = await died(mine, 1);
  expect(await queue(['redrive', dead as string, 'nothing'])).toMatchObject([
    1,
    { code: 'job_not_found', detail: 'no dead letter of nothing; nothing was redriven' },
  ]);
  expect(await deadJobs()).toEqual([dead]);
}, 60_000);

test('are not redriven all by mistake', async () => {
  const { mine, queue, died, deadJobs } = world;
  const [dead] = await died(mine, 1);
  expect(await queue(['redrive'])).toMatchObject([2, { code: 'usage_invalid' }]);
  expect(await queue(['redrive', '--all', '--tenant', 't_acme'])).toMatchObject([2, { code: 'usage_invalid' }]);
  expect(await deadJobs()).toEqual([dead]);
}, 60_000);
