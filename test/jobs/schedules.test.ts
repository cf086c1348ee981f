import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../../functions/stack/until.ts';
import { http } from '../support/http.ts';
import { type Job, type Jobs, jobsOf } from '../support/jobs.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type TestWorker, testWorker } from '../support/worker.ts';

// What is submitted when its time has come: once, as its tenant, whoever is running.

interface Schedule {
  id: string;
  name: string;
  next_run_at: string | null;
  last_run_at: string | null;
  last_job_id: string | null;
  enabled: boolean;
  error: { code: string } | null;
}

interface Refusal {
  code: string;
  details: string;
}

interface ScheduledJob extends Job {
  schedule_id: string;
  due_at: string;
  created_by: string;
}

let stack: TestStack;
let token: string;
let mine: Jobs;
const workers: TestWorker[] = [];

beforeAll(async () => {
  stack = await createTestStack();
  for (const tenant of ['t_acme', 't_globex', 't_initech']) await stack.createTenant(tenant);
  token = await stack.token({ tenant: 't_acme', role: 'member' });
  mine = jobsOf(stack.postgrest, token);
  for (let nth = 0; nth < 3; nth += 1) {
    const worker = testWorker(stack);
    workers.push(worker);
    await worker.start();
  }
});
afterAll(async () => {
  await Promise.all(workers.map((worker) => worker.stop()));
  await stack?.stop();
});
beforeEach(() => stack.admin.query('delete from app.job_schedules'));

const brief = { steps: 1, step_ms: 1 };
const nightly = { name: 'nightly', type: 'test.steps', input: brief, cron: '0 3 * * *', jitter_seconds: 0 };

const post = <Body = Schedule[]>(body: object, as = token) =>
  http<Body>(`${stack.postgrest}/job_schedules`, { token: as, headers: { prefer: 'return=representation' }, body });

async function made(body: object = nightly): Promise<string> {
  const answer = await post(body);
  if (answer.status !== 201) throw new Error(`${answer.status}: ${JSON.stringify(answer.body)}`);
  const id = answer.body[0]?.id ?? '';
  expect(await until(async () => (await read(id)).next_run_at !== null, { timeoutMs: 10_000 })).toBe(true);
  return id;
}

async function read(id: string): Promise<Schedule> {
  const { body } = await http<Schedule[]>(`${stack.postgrest}/job_schedules?id=eq.${id}`, { token });
  if (!body[0]) throw new Error(`no schedule ${id}`);
  return body[0];
}

const jobsBy = async (id: string) =>
  (await http<ScheduledJob[]>(`${stack.postgrest}/jobs?schedule_id=eq.${id}&order=created_at`, { token })).body;

/** As if the time of these schedules had come so long ago. */
const makeDue = (ids: string[], ago: string) =>
  stack.admin.query('update app.job_schedules set next_run_at = now() - $2::interval where id = any ($1)', [ids, ago]);

const ran = (id: string) => until(async () => (await read(id)).last_run_at !== null, { timeoutMs: 15_000 });

describe('a schedule', () => {
  test('is given its next time by a worker, in its own zone', async () => {
    const id = await made({ ...nightly, time_zone: 'Asia/Tokyo' });
    const next = new Date((await read(id)).next_run_at ?? '');
    expect([next.getUTCHours(), next.getUTCMinutes(), next.getUTCSeconds()]).toEqual([18, 0, 0]);
    expect(next.getTime() - Date.now()).toBeGreaterThan(0);
    expect(next.getTime() - Date.now()).toBeLessThanOrEqual(24 * 3_600_000);
    expect(await jobsBy(id)).toEqual([]);
  });

  test('that is none is refused, and the answer says why', async () => {
    const refused = async (change: object) => {
      const { status, body } = await post<Refusal>({ ...nightly, ...change });
      return [status, body.code, body.details];
    };
    expect(await refused({ cron: '61 * * * *' })).toEqual([
      422,
      'job_schedule_invalid',
      'cron: the minute is not one: 61',
    ]);
    expect(await refused({ time_zone: 'Mars/Olympus' })).toEqual([
      422,
      'job_schedule_invalid',
      'time_zone: no zone is called Mars/Olympus',
    ]);
    expect(await refused({ type: 'test.unheard_of' })).toEqual([
      422,
      'job_type_unknown',
      'no worker handles test.unheard_of',
    ]);
    const id = await made();
    const changed = await http<Refusal>(`${stack.postgrest}/job_schedules?id=eq.${id}`, {
      method: 'PATCH',
      token,
      body: { cron: 'never' },
    });
    expect([changed.status, changed.body.code]).toEqual([422, 'job_schedule_invalid']);
  });

  test('is its tenant’s alone, for members to write, and its times for nobody', async () => {
    const id = await made();
    const stranger = await stack.token({ tenant: 't_globex', role: 'owner' });
    const viewer = await stack.token({ tenant: 't_acme', role: 'viewer' });
    const url = `${stack.postgrest}/job_schedules?id=eq.${id}`;
    expect((await http(url, { token: viewer })).body).toHaveLength(1);
    expect((await http(url, { token: stranger })).body).toEqual([]);
    const headers = { prefer: 'return=representation' };
    expect((await http(url, { method: 'DELETE', token: stranger, headers })).body).toEqual([]);
    expect((await post<Refusal>({ ...nightly, name: 'other' }, viewer)).status).toBe(403);
    expect((await post<Refusal>({ ...nightly, name: 'other', next_run_at: '2020-01-01' })).status).toBe(403);
    expect((await http(url, { method: 'PATCH', token, body: { last_job_id: id } })).status).toBe(403);
    expect((await http(url, { method: 'DELETE', token, headers })).body).toHaveLength(1);
  });

  test('submits a job when it is due, which the ledger has from the schedule, in one trace', async () => {
    const id = await made();
    await makeDue([id], '1 second');
    expect(await ran(id)).toBe(true);
    const [job, ...others] = await jobsBy(id);
    expect(others).toEqual([]);
    expect(job).toMatchObject({ type: 'test.steps', created_by: `schedule:${id}` });
    expect(new Date(job?.due_at ?? '').getUTCHours()).toBe(3);
    expect((await read(id)).last_job_id).toBe(job?.id);
    expect(await mine.reaches(job?.id ?? '', ['succeeded'])).toMatchObject({ attempts: 1 });
    const { rows } = await stack.admin.query(
      `select array_agg(distinct split_part(subject, ':', 1)) as subjects, count(distinct trace_id)::int as traces,
         count(*) filter (where trace_id is null)::int as untraced, array_agg(distinct table_name) as tables
       from ledger.entries where row_id = $1 or (table_name = 'app.job_schedules' and new ->> 'last_job_id' = $1)`,
      [job?.id],
    );
    expect(rows).toEqual([
      { subjects: ['schedule', 'worker'], traces: 1, untraced: 0, tables: ['app.job_schedules', 'app.jobs'] },
    ]);
  });

  test('that was missed for days runs once, for the latest time', async () => {
    const id = await made();
    await makeDue([id], '10 days');
    expect(await ran(id)).toBe(true);
    const jobs = await jobsBy(id);
    expect(jobs).toHaveLength(1);
    const age = Date.now() - Date.parse(jobs[0]?.due_at ?? '');
    expect(age).toBeLessThan(24 * 3_600_000);
    expect(Date.parse((await read(id)).next_run_at ?? '')).toBeGreaterThan(Date.now());
  });

  test('is run once, however many workers look', async () => {
    const ids = await Promise.all(
      Array.from({ length: 30 }, (_, nth) => made({ ...nightly, name: `at once ${nth}`, cron: '* * * * *' })),
    );
    await makeDue(ids, '1 second');
    for (const id of ids) expect(await ran(id)).toBe(true);
    const counts = await Promise.all(ids.map(async (id) => (await jobsBy(id)).length));
    // A minute may begin meanwhile, and is then due as well; but no time twice.
    expect(counts.filter((count) => count < 1 || count > 2)).toEqual([]);
    const { rows } = await stack.admin.query(
      'select schedule_id from app.jobs where schedule_id = any ($1) group by schedule_id, due_at having count(*) > 1',
      [ids],
    );
    expect(rows).toEqual([]);
  });

  test('that is not enabled does not run, and what it missed is not made up for', async () => {
    const id = await made();
    const url = `${stack.postgrest}/job_schedules?id=eq.${id}`;
    expect((await http(url, { method: 'PATCH', token, body: { enabled: false } })).status).toBe(204);
    expect(await read(id)).toMatchObject({ enabled: false, next_run_at: null });
    expect((await http(url, { method: 'PATCH', token, body: { enabled: true, cron: '30 4 * * *' } })).status).toBe(204);
    expect(await until(async () => (await read(id)).next_run_at !== null, { timeoutMs: 10_000 })).toBe(true);
    expect(new Date((await read(id)).next_run_at ?? '').toISOString()).toMatch(/T04:30:00/);
    expect(await jobsBy(id)).toEqual([]);
  });

  test('waits while the job of its last run does', async () => {
    const id = await made({ ...nightly, type: 'csv.validate', input: {} });
    await stack.admin.query(`select * from tenancy.set_job_type_pause('csv.validate', true)`);
    for (const worker of workers) expect(await worker.logged('job type paused', 'csv.validate')).toBe(true);
    await makeDue([id], '1 second');
    expect(await ran(id)).toBe(true);
    await makeDue([id], '1 second');
    const skipped = async () => (await read(id)).error?.code === 'job_schedule_skipped';
    expect(await until(skipped, { timeoutMs: 15_000 })).toBe(true);
    expect(await jobsBy(id)).toHaveLength(1);
    await stack.admin.query(`select * from tenancy.set_job_type_pause('csv.validate', false)`);
  });

  test('whose type is gone says so, and keeps no other from running', async () => {
    await stack.admin.query(`insert into tenancy.job_types (type, description) values ('test.gone', 'was here')`);
    const gone = await made({ ...nightly, name: 'gone', type: 'test.gone' });
    const other = await made({ ...nightly, name: 'other' });
    await stack.admin.query(`delete from tenancy.job_types where type = 'test.gone'`);
    await makeDue([gone, other], '1 second');
    expect(await ran(other)).toBe(true);
    expect(await until(async () => (await read(gone)).error !== null, { timeoutMs: 10_000 })).toBe(true);
    expect(await read(gone)).toMatchObject({ enabled: true, error: { code: 'job_type_unknown' } });
    expect(await jobsBy(gone)).toEqual([]);
  });

  test('of a suspended tenant does not run until it is resumed', async () => {
    const id = await made();
    const other = await stack.token({ tenant: 't_globex', role: 'member' });
    const theirs = await post({ ...nightly, name: 'theirs' }, other);
    const theirId = theirs.body[0]?.id ?? '';
    const theirJobs = async () => {
      const { rows } = await stack.admin.query<{ n: number }>(
        'select count(*)::int as n from app.jobs where schedule_id = $1',
        [theirId],
      );
      return rows[0]?.n;
    };
    const timed = async () =>
      (await stack.admin.query('select from app.job_schedules where id = $1 and next_run_at is not null', [theirId]))
        .rowCount === 1;
    expect(await until(timed, { timeoutMs: 10_000 })).toBe(true);
    await stack.migrator.query(`select tenancy.suspend_tenant('t_globex')`);
    await makeDue([theirId, id], '1 hour');
    // Theirs was due no later than mine.
    expect(await ran(id)).toBe(true);
    expect(await theirJobs()).toBe(0);
    await stack.migrator.query(`select tenancy.resume_tenant('t_globex')`);
    expect(await until(async () => (await theirJobs()) === 1, { timeoutMs: 10_000 })).toBe(true);
  });
});

describe('tenants', () => {
  test('take turns: one that changes hundreds of schedules all the time does not come before another', async () => {
    const client = await stack.admin.connect();
    try {
      await client.query('begin'); // which the workers do not see
      await client.query(`
        alter table app.job_schedules disable trigger user;
        insert into app.job_schedules (tenant_id, name, type, cron, created_by, next_run_at, updated_at)
        select 't_acme', 'schedule ' || n, 'test.steps', '* * * * *', 'ada', null, now() - interval '1 hour' from generate_series(1, 300) as n
        union all
        select 't_globex', 'the only one', 'test.steps', '* * * * *', 'grace', now() - interval '1 second', now()`);
      const { rows } = await client.query('select tenant_id from ledger.due_schedules(20)');
      expect(rows).toHaveLength(20);
      expect(rows.slice(0, 2).map(({ tenant_id }) => tenant_id)).toEqual(['t_acme', 't_globex']);
      await client.query(
        `update app.job_schedules set next_run_at = null, updated_at = now() where tenant_id = 't_acme'`,
      );
      expect((await client.query('select tenant_id from ledger.due_schedules(1)')).rows).toEqual([
        { tenant_id: 't_globex' },
      ]);
    } finally {
      await client.query('rollback');
      client.release();
    }
  });
});

describe('a plan', () => {
  test('says how many schedules a tenant has, however they come', async () => {
    await stack.admin.query(`update tenancy.tenants set tier = 'free' where id = 't_initech'`);
    const member = await stack.token({ tenant: 't_initech', role: 'member' });
    const named = (name: string) => ({ ...nightly, name });
    expect((await post(['a', 'b', 'c', 'd'].map(named), member)).status).toBe(201);
    const two = await post<Refusal>(['e', 'f'].map(named), member);
    expect([two.status, two.body.code, two.body.details]).toEqual([
      429,
      'quota_exceeded',
      'job_schedules: the limit is 5, 4 are used, 2 were requested',
    ]);
    const racing = await Promise.all(['e', 'f', 'g'].map((name) => post(named(name), member)));
    expect(racing.map(({ status }) => status).toSorted()).toEqual([201, 429, 429]);
    expect((await post(named('mine'))).status).toBe(201);
  });
});
