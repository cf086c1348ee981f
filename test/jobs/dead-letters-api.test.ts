import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { http } from '../support/http.ts';
import { createQueueWorld, type QueueWorld } from './queue-command.ts';

// Dead letters, as operators list and redrive them through the API: admin.dead_letters(), admin.redrive_jobs().

interface Problem {
  code: string;
  details?: string | null;
}
type Letters = { job_id: string; tenant_id: string; died_at: string }[];

let world: QueueWorld;
let operator: string;
let owner: string;

beforeAll(async () => {
  world = await createQueueWorld();
  operator = await world.stack.operatorToken();
  owner = await world.stack.token({ tenant: 't_acme', role: 'owner' });
}, 120_000);
afterAll(() => world?.stop());
beforeEach(() => world.clear());

const list = <Body = Letters>(query = '', token = operator) =>
  http<Body>(`${world.stack.postgrest}/rpc/dead_letters?order=died_at,job_id${query}`, {
    token,
    headers: { 'accept-profile': 'admin' },
  });

const redrive = <Body = Letters>(body: object, token = operator) =>
  http<Body>(`${world.stack.postgrest}/rpc/redrive_jobs`, { token, headers: { 'content-profile': 'admin' }, body });

const listed = async (query?: string) => (await list(query)).body.map(({ job_id }) => job_id);
const redriven = async (body: object) => {
  const answer = await redrive(body);
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  return answer.body.map(({ job_id }) => job_id);
};

test('shows operators which jobs have died, of whom and of what, and nothing that they hold', async () => {
  const { mine, theirs, died, deadJobs } = world;
  const [id = ''] = await died(mine, 1);
  const [other = ''] = await died(theirs, 1);
  const { status, body } = await list();
  expect(status).toBe(200);
  const same = { type: 'custom.flaky', attempts: 1, code: 'internal', traceparent: null, suspended: false };
  expect(body).toEqual([
    { job_id: id, tenant_id: 't_acme', died_at: expect.stringMatching(/^20/), ...same },
    { job_id: other, tenant_id: 't_globex', died_at: expect.stringMatching(/^20/), ...same },
  ]);
  expect(await listed('&tenant_id=eq.t_globex')).toEqual([other]);
  expect(await listed('&type=eq.csv.validate')).toEqual([]);
  expect(await listed('&limit=1')).toEqual([id]);
  expect(await deadJobs()).toEqual([id, other]);
}, 60_000);

test('redrives those that are named, in the name of the operator, and no others', async () => {
  const { stack, mine, theirs, died } = world;
  const [id = '', left = ''] = await died(mine, 2);
  const [other = ''] = await died(theirs, 1);
  const before = (await list()).body;
  const { status, body } = await redrive({ ids: [id, other] });
  expect(status).toBe(200);
  // What was dead, as it was.
  expect(body.toSorted((a, b) => a.died_at.localeCompare(b.died_at))).toEqual(
    before.filter(({ job_id }) => job_id !== left),
  );
  expect(await mine.reaches(id, ['succeeded'])).toMatchObject({ attempts: 2, result: { attempt: 2 }, error: null });
  await theirs.reaches(other, ['succeeded']);
  expect((await mine.get(left)).status).toBe('failed');
  expect(await listed()).toEqual([left]);

  const { rows } = await stack.admin.query(
    `select tenant_id, subject, role from ledger.entries
     where row_id = any ($1) and old ->> 'status' = 'failed' and new ->> 'status' = 'queued' order by tenant_id`,
    [[id, other]],
  );
  const { sub: subject } = JSON.parse(Buffer.from(operator.split('.')[1] ?? '', 'base64url').toString());
  expect(rows).toEqual([
    { tenant_id: 't_acme', subject, role: 'operator' },
    { tenant_id: 't_globex', subject, role: 'operator' },
  ]);
}, 60_000);

test('redrives by tenant, by type, so many of the oldest or every one, and a dry run changes nothing', async () => {
  const { mine, theirs, died } = world;
  const oldest = [...(await died(mine, 1)), ...(await died(mine, 1))];
  const [newest = ''] = await died(mine, 1);
  const others = await died(theirs, 2);
  expect(await redriven({ tenant: 't_globex', dry_run: true })).toEqual(await listed('&tenant_id=eq.t_globex'));
  expect(await redriven({ every: true, dry_run: true, most: 2 })).toEqual(oldest);
  expect(await redriven({ job_type: 'csv.validate', dry_run: true })).toEqual([]);
  expect(await redriven({ ids: [], dry_run: true })).toEqual([]);
  expect(await listed()).toHaveLength(5);

  expect((await redriven({ tenant: 't_globex' })).toSorted()).toEqual(others.toSorted());
  expect((await redriven({ job_type: 'custom.flaky', tenant: 't_acme', most: 2 })).toSorted()).toEqual(
    oldest.toSorted(),
  );
  expect(await listed()).toEqual([newest]);
  expect(await redriven({ every: true })).toEqual([newest]);
  for (const id of [...oldest, newest]) await mine.reaches(id, ['succeeded']);
  expect(await redriven({ every: true })).toEqual([]);
}, 60_000);

test('has no letter of a job that its tenant has retried', async () => {
  const { mine, died } = world;
  const [id = ''] = await died(mine, 1);
  expect(await listed()).toEqual([id]);
  await mine.retry(id);
  await mine.reaches(id, ['succeeded']);
  expect(await listed()).toEqual([]);
  expect(await redrive<Problem>({ ids: [id] })).toMatchObject({ status: 404, body: { code: 'job_not_found' } });
}, 60_000);

test('redrives a job once, however many operators do so at the same moment', async () => {
  const { mine, died } = world;
  const ids = await died(mine, 4);
  const answers = await Promise.all([1, 2, 3, 4].map(() => redriven({ tenant: 't_acme' })));
  expect(answers.flat().toSorted()).toEqual(ids.toSorted());
  for (const id of ids) expect(await mine.reaches(id, ['succeeded'])).toMatchObject({ attempts: 2 });
}, 60_000);

test('keeps those of a suspended tenant until it is resumed, and says so', async () => {
  const { stack, theirs, died } = world;
  const [id = ''] = await died(theirs, 1);
  await stack.migrator.query(`select tenancy.suspend_tenant('t_globex')`);
  try {
    expect((await list()).body).toMatchObject([{ job_id: id, suspended: true }]);
    expect(await redriven({ every: true })).toEqual([]);
    expect(await redriven({ ids: [id], dry_run: true })).toEqual([]);
  } finally {
    await stack.migrator.query(`select tenancy.resume_tenant('t_globex')`);
  }
  expect(await redriven({ ids: [id] })).toEqual([id]);
  await theirs.reaches(id, ['succeeded']);
}, 60_000);

test('refuses to redrive what is not named, what is named twice over, and what has not died', async () => {
  const { mine, died } = world;
  const [dead = ''] = await died(mine, 1);
  const fine = await mine.start('custom.flaky', { until_attempt: 1 });
  await mine.reaches(fine, ['succeeded']);
  const nobodys = '00000000-0000-4000-8000-000000000000';
  const refused = async (body: object) => {
    const answer = await redrive<Problem>(body);
    return [answer.status, answer.body.code, answer.body.details];
  };
  const vague = [400, 'request_invalid', 'nothing says which dead letters'];
  expect(await refused({})).toEqual(vague);
  expect(await refused({ every: null })).toEqual(vague);
  expect(await refused({ dry_run: true, most: 5 })).toEqual(vague);
  const both = [400, 'request_invalid', 'every is each dead letter there is'];
  expect(await refused({ every: true, tenant: 't_acme' })).toEqual(both);
  for (const id of [nobodys, fine]) {
    const none = [404, 'job_not_found', `no dead letter of ${id}; nothing was redriven`];
    expect(await refused({ ids: [dead, id] })).toEqual(none);
  }
  expect(await listed()).toEqual([dead]);
  expect((await mine.get(fine)).attempts).toBe(1);
}, 60_000);

test('is for operators, whose token says so', async () => {
  const { stack, mine, died } = world;
  const [id = ''] = await died(mine, 1);
  expect(await list<Problem>('', owner)).toMatchObject({ status: 403, body: { code: '42501' } });
  expect(await redrive<Problem>({ ids: [id] }, owner)).toMatchObject({ status: 403, body: { code: '42501' } });
  // Whoever has the API's password can take the role, but not its seal.
  await connected(stack.database.authenticator, async (client) => {
    await client.query('set role operator');
    for (const sql of ['select from admin.dead_letters()', 'select from admin.redrive_jobs(every => true)'])
      await expect(client.query(sql)).rejects.toMatchObject({ message: expect.stringContaining('role_insufficient') });
    for (const sql of ['select from ledger.dead_letters()', 'select from ledger.redrive_jobs()'])
      await expect(client.query(sql)).rejects.toMatchObject({ code: '42501' });
  });
  expect(await listed()).toEqual([id]);
}, 60_000);

test('is no way for the code of a job into another tenant', async () => {
  const { stack, mine, theirs, died } = world;
  const [id = ''] = await died(mine, 1);
  const [other = ''] = await died(theirs, 1);
  await connected(stack.database.worker, async (client) => {
    const unsealed = client.query('select from ledger.redrive_jobs()');
    await expect(unsealed).rejects.toMatchObject({ message: expect.stringContaining('tenant_required') });
    await client.query('begin');
    await client.query(`select auth.enter(auth.issue_service_token('t_acme', 'worker:test'))`);
    const seen = await client.query('select job_id from ledger.dead_letters()');
    expect(seen.rows).toEqual([{ job_id: id }]);
    const reached = await client.query('select job_id from ledger.redrive_jobs()');
    expect(reached.rows).toEqual([{ job_id: id }]);
    await client.query('rollback');
  });
  expect(await listed()).toEqual([id, other]);
}, 60_000);
