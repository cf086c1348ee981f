import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../../functions/stack/until.ts';
import { http } from '../support/http.ts';
import { type Jobs, jobsOf, type Problem } from '../support/jobs.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type TestWorker, testWorker } from '../support/worker.ts';

// Jobs from submission to result, from two tenants.

let stack: TestStack;
let worker: TestWorker;
let token: string;
let mine: Jobs;
let theirs: Jobs;
let viewers: Jobs;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  token = await stack.token({ tenant: 't_acme', role: 'member' });
  mine = jobsOf(stack.postgrest, token);
  viewers = jobsOf(stack.postgrest, await stack.token({ tenant: 't_acme', role: 'viewer' }));
  theirs = jobsOf(stack.postgrest, await stack.token({ tenant: 't_globex', role: 'member' }));
  worker = testWorker(stack);
  await worker.start();
});

afterAll(async () => {
  await worker?.stop();
  await stack?.stop();
});

const brief = { steps: 2, step_ms: 10 };
const endless = { steps: 1000, step_ms: 100 };

describe('a job', () => {
  test('runs, and leaves its result, findings and file to its tenant', async () => {
    const submitted = await mine.submit('test.steps', brief);
    expect(submitted.status).toBe(201);
    expect(submitted.body[0]).toMatchObject({ tenant_id: 't_acme', status: 'queued', attempts: 0 });
    const id = submitted.body[0]?.id ?? '';

    const job = await mine.reaches(id, ['succeeded']);
    expect(job).toMatchObject({
      attempts: 1,
      progress: { bytes: 2, total_bytes: 2, rows: 2 },
      result: { steps: 2, attempt: 1 },
      error: null,
    });
    expect(await mine.findings(id)).toEqual([
      { ordinal: 0, message: 'attempt 1' },
      { ordinal: 1, message: 'attempt 1' },
    ]);
    const report = String(job.result?.report);
    const files = await http(`${stack.postgrest}/files?job_id=eq.${id}&select=id,kind,status,size,name`, { token });
    expect(files.body).toEqual([{ id: report, kind: 'report', status: 'stored', size: 9, name: 'steps.txt' }]);
    const bytes = await readFile(join(stack.storageDirectory, 't_acme/files', report), 'utf8');
    expect(bytes).toBe('steps: 2\n');
  });

  test('is invisible to another tenant, and cannot be moved by it', async () => {
    const id = await mine.start('test.steps', endless);
    await mine.reaches(id, ['running']);

    await expect(theirs.get(id)).rejects.toThrow('no job');
    expect(await theirs.findings(id)).toEqual([]);
    const cancelled = await theirs.cancel<Problem>(id);
    expect([cancelled.status, cancelled.body.code]).toEqual([404, 'job_not_found']);
    const retried = await theirs.retry<Problem>(id);
    expect([retried.status, retried.body.code]).toEqual([404, 'job_not_found']);

    expect((await mine.get(id)).status).toBe('running');
    expect((await mine.cancel(id)).status).toBe(200);
  });

  test('of a type that no worker handles is refused', async () => {
    const { status, body } = await mine.submit('test.unheard_of', {});
    expect([status, (body as unknown as Problem).code]).toEqual([422, 'job_type_unknown']);
  });

  test('whose input does not fit its type fails without another attempt', async () => {
    const id = await mine.start('test.steps', { steps: 0, step_ms: 1 });
    const job = await mine.reaches(id, ['failed']);
    expect(job.attempts).toBe(1);
    expect(job.error?.code).toBe('job_input_invalid');
    expect(job.error?.message).toMatch(/^steps: /);
  });

  test('that fails for good says why', async () => {
    const id = await mine.start('test.fail', { until_attempt: 2, final: true });
    const job = await mine.reaches(id, ['failed']);
    expect(job).toMatchObject({ attempts: 1, error: { code: 'file_empty', message: 'nothing in it' } });
  });

  test('that fails for a moment is tried again', async () => {
    const id = await mine.start('test.fail', { until_attempt: 2, final: false });
    const job = await mine.reaches(id, ['succeeded']);
    expect(job).toMatchObject({ attempts: 2, result: { attempt: 2 }, error: null });
  });

  test('that keeps failing ends after three attempts, among the dead letters of its tenant', async () => {
    const id = await mine.start('test.fail', { until_attempt: 99, final: false });
    const job = await mine.reaches(id, ['failed']);
    expect(job.attempts).toBe(3);
    expect(job.error).toEqual({
      code: 'job_attempts_exhausted',
      message: 'Every attempt at this job failed; retry it when the cause is gone',
      cause: 'internal',
    });
    const { rows } = await stack.admin.query('select tenant_id from ledger.dead_letters(ids => $1)', [[id]]);
    expect(rows).toEqual([{ tenant_id: 't_acme' }]);
  });
});

describe('an idempotency key', () => {
  test('used again with the same body answers with the first job, which runs once', async () => {
    const first = await mine.submit('test.steps', brief, 'key-1');
    const id = first.body[0]?.id ?? '';
    await mine.reaches(id, ['succeeded']);

    const second = await mine.submit('test.steps', brief, 'key-1');
    expect([second.status, second.body[0]?.id]).toEqual([201, id]);
    expect((await mine.get(id)).attempts).toBe(1);
    const { rows } = await stack.admin.query(`select count(*)::int as n from pgboss.job where data ->> 'job_id' = $1`, [
      id,
    ]);
    expect(rows).toEqual([{ n: 1 }]);
  });

  test('used again with another body is a conflict', async () => {
    expect((await mine.submit('test.steps', brief, 'key-2')).status).toBe(201);
    const { status, body } = await mine.submit('test.steps', { ...brief, steps: 3 }, 'key-2');
    expect([status, (body as unknown as Problem).code]).toEqual([409, 'idempotency_conflict']);
  });

  test('of one tenant means nothing to another', async () => {
    const first = await mine.submit('test.steps', brief, 'key-3');
    const other = await theirs.submit('test.steps', { ...brief, steps: 3 }, 'key-3');
    expect(other.status).toBe(201);
    expect(other.body[0]?.id).not.toBe(first.body[0]?.id);
    expect(other.body[0]?.tenant_id).toBe('t_globex');
  });
});

describe('cancelling', () => {
  test('stops a running job', async () => {
    const id = await mine.start('test.steps', endless);
    await mine.reaches(id, ['running']);
    const cancelled = await mine.cancel(id);
    expect([cancelled.status, cancelled.body[0]?.status]).toEqual([200, 'cancelled']);

    expect(await worker.logged('job cancelled', id)).toBe(true);
    const job = await mine.get(id);
    expect(job).toMatchObject({ status: 'cancelled', result: null, error: null });
    expect((await mine.findings(id)).length).toBeLessThan(endless.steps);
  });

  test('keeps a queued job from ever running', async () => {
    await worker.stop();
    const id = await mine.start('test.steps', brief);
    expect((await mine.cancel(id)).status).toBe(200);
    const after = await mine.start('test.steps', brief);
    await worker.start();

    await mine.reaches(after, ['succeeded']);
    expect(await mine.get(id)).toMatchObject({ status: 'cancelled', attempts: 0, started_at: null });
  });

  test('is not for viewers, nor for jobs that are over', async () => {
    const id = await mine.start('test.steps', brief);
    await mine.reaches(id, ['succeeded']);
    const late = await mine.cancel<Problem>(id);
    expect([late.status, late.body.code]).toEqual([409, 'job_transition']);
    const viewed = await viewers.cancel<Problem>(id);
    expect([viewed.status, viewed.body.code]).toEqual([403, 'role_insufficient']);
  });
});

describe('retrying', () => {
  test('runs a job again that failed', async () => {
    const id = await mine.start('test.fail', { until_attempt: 2, final: true });
    const first = await mine.reaches(id, ['failed']);
    const retried = await mine.retry(id);
    expect(retried.status).toBe(200);
    expect(retried.body[0]).toMatchObject({ status: 'queued', error: null, finished_at: null });

    const second = await mine.reaches(id, ['failed', 'succeeded']);
    expect(Date.parse(second.finished_at ?? '')).toBeGreaterThan(Date.parse(first.finished_at ?? ''));
  });

  test('runs a job again that was cancelled, while the attempt before is still ending', async () => {
    const id = await mine.start('test.steps', { steps: 15, step_ms: 200 });
    expect(await until(async () => (await mine.findings(id)).length >= 5, { timeoutMs: 10_000 })).toBe(true);
    expect((await mine.cancel(id)).status).toBe(200);
    expect((await mine.retry(id)).status).toBe(200);

    const job = await mine.reaches(id, ['succeeded']);
    // The attempt before had five steps behind it: had it gone on as the new one, the end would have come sooner.
    expect(Date.parse(job.finished_at ?? '') - Date.parse(job.started_at ?? '')).toBeGreaterThan(15 * 200);
    expect(await worker.logged('job left', id)).toBe(true);
    expect(await mine.findings(id)).toHaveLength(15);
  });

  test('is refused for jobs that are not over, or that succeeded', async () => {
    const id = await mine.start('test.steps', { steps: 10, step_ms: 100 });
    await mine.reaches(id, ['running']);
    const early = await mine.retry<Problem>(id);
    expect([early.status, early.body.code]).toEqual([409, 'job_transition']);
    await mine.reaches(id, ['succeeded']);
    const late = await mine.retry<Problem>(id);
    expect([late.status, late.body.code]).toEqual([409, 'job_transition']);
  });
});

describe('a tenant with many jobs', () => {
  test('does not keep another one waiting', async () => {
    const many = await Promise.all(Array.from({ length: 8 }, () => mine.start('test.steps', endless)));
    const statuses = () => Promise.all(many.map(async (id) => (await mine.get(id)).status));
    expect(await until(async () => (await statuses()).includes('running'), { timeoutMs: 10_000 })).toBe(true);
    const other = await theirs.start('test.steps', brief);
    await theirs.reaches(other, ['succeeded']);

    expect((await statuses()).filter((status) => status === 'queued').length).toBeGreaterThanOrEqual(4);
    for (const id of many) expect((await mine.cancel(id)).status).toBe(200);
  });
});

describe('a suspended tenant', () => {
  test('keeps its jobs, which run when it is resumed', async () => {
    await worker.stop();
    await stack.createTenant('t_initech');
    const suspended = jobsOf(stack.postgrest, await stack.token({ tenant: 't_initech', role: 'member' }));
    const id = await suspended.start('test.steps', brief);
    await stack.migrator.query(`select tenancy.suspend_tenant('t_initech')`);
    await worker.start();

    expect(await worker.logged('job left', id)).toBe(true);
    await stack.migrator.query(`select tenancy.resume_tenant('t_initech')`);
    expect(await suspended.reaches(id, ['succeeded'])).toMatchObject({ attempts: 1 });
  });
});

describe('a deleted file', () => {
  test('loses its bytes, and only its own tenant can delete it', async () => {
    const id = await mine.start('test.steps', brief);
    const report = String((await mine.reaches(id, ['succeeded'])).result?.report);
    const path = join(stack.storageDirectory, 't_acme/files', report);
    expect(existsSync(path)).toBe(true);

    const url = `${stack.postgrest}/files?id=eq.${report}`;
    const headers = { prefer: 'return=representation' };
    const stranger = await stack.token({ tenant: 't_globex', role: 'owner' });
    expect(await http(url, { method: 'DELETE', token: stranger, headers })).toMatchObject({ status: 200, body: [] });
    const deleted = await http<{ id: string }[]>(url, { method: 'DELETE', token, headers });
    expect(deleted.body).toMatchObject([{ id: report }]);
    expect(await until(() => !existsSync(path), { timeoutMs: 10_000 })).toBe(true);
  });
});
