import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import pino from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPool, transaction } from '../../functions/database.ts';
import { startLater } from '../../functions/worker/later.ts';
import type { LaterSubmission, Submission } from '../../functions/worker/messages.ts';
import { openQueue } from '../../functions/worker/queue.ts';
import { http } from '../support/http.ts';
import type { Job } from '../support/jobs.ts';
import { createQueueWorld, type QueueWorld } from './queue-command.ts';

// Jobs with a time before which they do not start.

let world: QueueWorld;
let acme: string;
let globex: string;

beforeAll(async () => {
  world = await createQueueWorld();
  acme = await world.stack.token({ tenant: 't_acme', role: 'member' });
  globex = await world.stack.token({ tenant: 't_globex', role: 'member' });
}, 120_000);
afterAll(() => world?.stop());

interface Later extends Job {
  start_after: string | null;
  code: string;
  details: string | null;
}

const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString();

const submit = <Body = Later[]>(start_after: unknown, more: object = {}, token = acme) =>
  http<Body>(`${world.stack.postgrest}/jobs`, {
    token,
    headers: { prefer: 'return=representation' },
    body: { type: 'test.steps', input: { steps: 1, step_ms: 1 }, start_after, ...more },
  });

async function submitted(start_after: string | null, more: object = {}, token = acme): Promise<Later> {
  const { status, body } = await submit(start_after, more, token);
  expect([status, body]).toMatchObject([201, [{ status: 'queued', attempts: 0 }]]);
  return body[0] as Later;
}

const adminToken = () => world.stack.token({ tenant: 't_acme', role: 'admin' });

const late = ({ started_at, start_after }: Later) => Date.parse(started_at ?? '') - Date.parse(start_after ?? '');

test('a job does not start before its time, and starts within seconds then; until then it is delayed, and not late', async () => {
  const { mine, statusOf } = world;
  const start_after = inSeconds(6);
  const job = await submitted(start_after);
  expect(new Date(job.start_after ?? '').toISOString()).toBe(start_after);
  const delayed = { workers: 1, waiting: 0, delayed: 1, oldest_seconds: null, tenants: [] };
  await expect.poll(() => statusOf('test.steps'), { timeout: 4000 }).toMatchObject(delayed);
  expect((await mine.get(job.id)).status).toBe('queued');
  const done = (await mine.reaches(job.id, ['succeeded'])) as Later;
  expect(done.attempts).toBe(1);
  expect(late(done)).toBeGreaterThanOrEqual(0);
  expect(late(done)).toBeLessThan(4000);
  expect(await statusOf('test.steps')).toMatchObject({ waiting: 0, delayed: 0 });
});

test('one whose time has passed, or that has none, starts at once', async () => {
  for (const start_after of ['2020-01-01T00:00:00+02:00', null]) {
    const { id } = await submitted(start_after);
    await world.mine.reaches(id, ['succeeded']);
  }
});

test('a tenant that waits takes no turn and no slot: others of the type start meanwhile', async () => {
  const { mine, theirs } = world;
  const waiting = await submitted(inSeconds(20));
  for (const jobs of [mine, theirs])
    await jobs.reaches(await jobs.start('test.steps', { steps: 1, step_ms: 1 }), ['succeeded']);
  expect(await mine.get(waiting.id)).toMatchObject({ status: 'queued', attempts: 0 });
  expect((await mine.cancel(waiting.id)).status).toBe(200);
});

test('one that is cancelled before its time never starts; tried again, it waits for its time', async () => {
  const { mine } = world;
  const [cancelled, again] = [await submitted(inSeconds(3)), await submitted(inSeconds(5))];
  for (const { id } of [cancelled, again]) expect((await mine.cancel(id)).status).toBe(200);
  expect((await mine.retry(again.id)).status).toBe(200);
  const done = (await mine.reaches(again.id, ['succeeded'])) as Later;
  expect([done.attempts, late(done) >= 0]).toEqual([1, true]);
  await delay(1000);
  expect(await mine.get(cancelled.id)).toMatchObject({ status: 'cancelled', attempts: 0, started_at: null });
});

test('one that is called off is not counted any more: cancelled, or deleted', async () => {
  const delayed = () => world.statusOf('test.steps').then((status) => status?.delayed);
  const jobs = [await submitted(inSeconds(100)), await submitted(inSeconds(100))] as const;
  await expect.poll(delayed, { timeout: 4000 }).toBe(2);
  expect((await world.mine.cancel(jobs[0].id)).status).toBe(200);
  await expect.poll(delayed, { timeout: 4000 }).toBe(1);
  expect((await world.mine.retry(jobs[0].id)).status).toBe(200);
  await expect.poll(delayed, { timeout: 4000 }).toBe(2);
  for (const { id } of jobs)
    await http(`${world.stack.postgrest}/jobs?id=eq.${id}`, { method: 'DELETE', token: await adminToken() });
  await expect.poll(delayed, { timeout: 4000 }).toBe(0);
});

test('a time is at most a year ahead, and stays what it was', async () => {
  const DAY = 86_400;
  for (const time of [inSeconds(367 * DAY), 'infinity', '-infinity']) {
    const { status, body } = await submit<Later>(time);
    const refused = { code: 'request_invalid', details: 'start_after is a time, at most a year ahead' };
    expect([time, status, body]).toMatchObject([time, 400, refused]);
  }
  expect((await submit<Later>('soon')).status).toBe(400);
  const { id } = await submitted(inSeconds(364 * DAY));
  const url = `${world.stack.postgrest}/jobs?id=eq.${id}`;
  const change = await http<Later>(url, { method: 'PATCH', token: acme, body: { start_after: null } });
  expect([change.status, change.body.code]).toEqual([403, '42501']);
  expect((await http(url, { token: globex })).body).toEqual([]);
  expect((await world.mine.cancel(id)).status).toBe(200);
});

test('a repeated idempotency_key answers with the first job, for the same time alone', async () => {
  const start_after = inSeconds(60);
  const key = { idempotency_key: 'later-1' };
  const { id } = await submitted(start_after, key);
  const theirs = await submitted(inSeconds(60), key, globex);
  expect((await submitted(start_after, key)).id).toBe(id);
  const other = await submit<Later>(inSeconds(61), key);
  expect([other.status, other.body.code]).toEqual([409, 'idempotency_conflict']);
  // Another tenant's key is another.
  expect(theirs.id).not.toBe(id);
  await world.mine.cancel(id);
  await world.theirs.cancel(theirs.id);
});

test('what becomes due while no worker runs waits since its time, not since it was submitted', {
  timeout: 60_000,
}, async () => {
  const { worker, mine, statusOf } = world;
  const start_after = inSeconds(5);
  const { id } = await submitted(start_after);
  await expect.poll(async () => (await statusOf('test.steps'))?.delayed, { timeout: 4000 }).toBe(1);
  await worker.kill();
  await delay(Date.parse(start_after) - Date.now() + 500);
  const status = await statusOf('test.steps');
  const seconds = (Date.now() - Date.parse(start_after)) / 1000;
  expect(status).toMatchObject({ workers: 0, waiting: 1, delayed: 0, tenants: [{ tenant_id: 't_acme', waiting: 1 }] });
  expect(status?.oldest_seconds).toBeGreaterThan(0);
  expect(status?.oldest_seconds).toBeLessThanOrEqual(seconds);
  expect(await world.lineOf('test.steps')).toContain('no worker runs it');
  await worker.start();
  await mine.reaches(id, ['succeeded']);
});

test('what is due joins the queue once, by any number of workers, each time in order; who has much of it holds nobody up', async () => {
  const { stack, worker } = world;
  await worker.stop();
  const log = pino({ level: 'silent' });
  const pool = createPool(stack.database.worker, 'test', 4);
  const connectionString = stack.database.worker;
  const queue = await openQueue({ connectionString, types: new Map(), slots: 1, tierLimits: {}, log });
  const of = (tenant_id: string, ago: number): LaterSubmission => {
    const message = { tenant_id, job_id: randomUUID(), type: 'test.steps', submission: `${ago}`, handed_back: 0 };
    return { id: randomUUID(), tier: 'free', message, startAfter: inSeconds(-ago) };
  };
  /** 1,200 of a large tenant are due, and two of a small one after them. Returns who was moved when. */
  async function roundsOf(workers: number): Promise<string[][]> {
    const large = Array.from({ length: 1200 }, (_, nth) => of('t_large', 5000 - nth));
    const small = [of('t_small', 20), of('t_small', 30), of('t_small', -3600)];
    const changes = new Map([...large, ...small].map((submission) => [randomUUID(), submission]));
    await transaction(pool, (client) => queue.submitLater(client, changes));
    const rounds: string[][] = [];
    const submit = async (_client: unknown, _type: string, submissions: Submission[]) =>
      void rounds.push(submissions.map(({ message }) => `${message.tenant_id} ${message.submission}`));
    const movers = Array.from({ length: workers }, () => startLater({ pool, queue: { submit }, log }));
    await expect.poll(() => rounds.flat().length, { timeout: 30_000 }).toBe(1202);
    await delay(1500);
    await Promise.all(movers.map((mover) => mover.stop()));
    return rounds;
  }

  const [alone, together] = [await roundsOf(1), await roundsOf(2)];
  await queue.stop(0, () => {});
  await pool.end();
  for (const rounds of [alone, together]) {
    const all = rounds.flat();
    expect([all.length, new Set(all).size]).toEqual([1202, 1202]);
    for (const round of rounds) {
      const times = round.map((one) => Number(one.split(' ')[1]));
      expect(times).toEqual(times.toSorted((a, b) => b - a));
    }
  }
  expect(alone[0]).toEqual(expect.arrayContaining(['t_small 30', 't_small 20']));
  expect(alone[0]?.length).toBeLessThan(100);
  await worker.start();
});
