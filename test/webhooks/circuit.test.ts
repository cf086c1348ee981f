import pino from 'pino';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { createPool, type Pool } from '../../functions/database.ts';
import { isIdle, newEndpoint } from '../../functions/worker/webhooks/endpoint.ts';
import { generateKeyPair } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { askOf } from '../../functions/worker/webhooks/read-ahead.ts';
import { createRecorder } from '../../functions/worker/webhooks/recorder.ts';
import { record, type StateChange } from '../../functions/worker/webhooks/records.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type TestWorker, testWorker } from '../support/worker.ts';
import { type Webhooks, WORKER_ENV, webhooks } from './api.ts';
import { type Circuits, circuits, TEN } from './circuits.ts';
import { type Receiver, startReceiver } from './receiver.ts';

// When a circuit opens, whichever workers see the failures. What ends its pause before its time: circuit-reset.test.ts.

const OPEN_MS = 600_000;

let stack: TestStack;
let receiver: Receiver;
let acme: Webhooks;
let acmes: Circuits;
let workers: [TestWorker, TestWorker];

beforeAll(async () => {
  receiver = await startReceiver();
  const { privateKey } = await generateKeyPair();
  stack = await createTestStack();
  const env = { ...WORKER_ENV, WEBHOOK_PRIVATE_KEY: privateKey, WEBHOOK_CIRCUIT_OPEN_MS: String(OPEN_MS) };
  workers = [testWorker(stack, { env }), testWorker(stack, { env })];
  await workers[0].start();
  await stack.createTenant('t_acme');
  acme = await webhooks(stack, 't_acme');
  acmes = await circuits(acme, receiver, OPEN_MS);
});

afterAll(async () => {
  for (const worker of workers ?? []) await worker.stop();
  await stack?.stop();
  await receiver?.stop();
});

describe('ten failures in a row open the circuit', () => {
  /** Each when what came of the one before is recorded, and nothing of the endpoint is in hand. */
  async function failOneByOne(id: string, path: string, from: number, to: number): Promise<void> {
    for (let nth = from; nth <= to; nth += 1) {
      await acme.emit(`${path}.event`, `s${nth}`, { name: nth });
      await acme.settled(id, (all) => all.length === nth && all.every(({ attempts }) => attempts > 0));
      // First attempts alone, however long a worker takes to start.
      await stack.admin.query(
        `update webhook.deliveries set next_attempt_at = now() + interval '1 hour' where endpoint_id = $1`,
        [id],
      );
    }
  }

  async function expectNoMore(id: string, path: string): Promise<void> {
    await acmes.hasOpened(id);
    await acmes.emitted(path, 3);
    expect(receiver.at(path)).toHaveLength(TEN);
    await acmes.expectOpen(id);
  }

  test('also one at a time, and the eleventh is not sent', async () => {
    const id = await acmes.failing('trickle');
    await failOneByOne(id, 'trickle', 1, TEN);
    await expectNoMore(id, 'trickle');
  });

  test('also where the worker that saw the first of them was killed', async () => {
    const id = await acmes.failing('killed');
    await failOneByOne(id, 'killed', 1, 5);
    await workers[0].kill();
    await workers[1].start();
    await failOneByOne(id, 'killed', 6, TEN);
    await expectNoMore(id, 'killed');
  });

  test('also between two workers, and both of them know when it ends', async () => {
    await workers[0].start();
    const id = await acmes.failing('shared');
    await failOneByOne(id, 'shared', 1, TEN);
    await expectNoMore(id, 'shared');
    await acme.change(id, { url: receiver.url('shared-new') });
    await receiver.got('shared-new', 3);
    for (const [nth, worker] of workers.entries()) {
      await worker.stop();
      await acme.emit('shared.event', 'later', { name: 'later' });
      await receiver.got('shared-new', 4 + nth);
      await worker.start();
    }
    expect((await acme.endpoint(id)).health).toMatchObject({ circuit: 'closed', failures: 0 });
    expect(receiver.at('shared')).toHaveLength(TEN);
  });
});

describe('what a worker writes of an endpoint’s health', () => {
  /** To an endpoint of the generation 1, that nobody works for. */
  async function written(states: { generation: number; watermark: number; circuit: string | null }[]) {
    const { id } = await acme.create({ url: receiver.url('written'), event_types: ['written.*'] });
    const pool = createPool(stack.database.worker, 'test-worker', 1);
    for (const state of states) {
      const health = { opened: 1, paused: null, failing: null, failures: 3, error: 'answered 500' };
      await record(pool, { results: [], parked: [], freed: [], states: [{ t: 't_acme', e: id, ...health, ...state }] });
    }
    await pool.end();
    const { rows } = await stack.admin.query(
      'select watermark::int, circuit, failures::int, last_error from webhook.endpoint_states where endpoint_id = $1',
      [id],
    );
    return rows[0];
  }
  const clean = { watermark: 0, circuit: 'closed', failures: 0, last_error: null };
  const seen = { circuit: 'open', failures: 3, last_error: 'answered 500' };

  test('counts, of this generation of it', async () => {
    expect(await written([{ generation: 1, watermark: 7, circuit: 'open' }])).toEqual({ ...seen, watermark: 7 });
  });

  test('does not, of one before', async () => {
    expect(await written([{ generation: 0, watermark: 7, circuit: 'open' }])).toEqual(clean);
  });

  test('leaves it as another worker has written it, where nothing of it has changed', async () => {
    const states = [
      { generation: 1, watermark: 7, circuit: 'open' },
      { generation: 1, watermark: 9, circuit: null },
    ];
    expect(await written(states)).toEqual({ ...seen, watermark: 9 });
  });
});

test('a lease is kept until what was seen is saved, and no other worker’s word is written over after that', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const saves: { states: StateChange[]; commit: () => void }[] = [];
  const query = ({ values }: { values: string[] }) =>
    new Promise((commit) => saves.push({ states: JSON.parse(values[3] ?? ''), commit: () => commit({ rows: [] }) }));
  const recorder = createRecorder({
    pool: { query } as unknown as Pool,
    pacing: { isShared: () => false, turn: async () => () => {} },
    log: pino({ level: 'silent' }),
    onRecorded: () => {},
  });
  const endpoint = Object.assign(newEndpoint('t_acme', 'e'), { leased: true });
  endpoint.health.failures = 1;
  recorder.touch(endpoint);
  await vi.advanceTimersByTimeAsync(0);
  endpoint.health.failures = 2;
  recorder.touch(endpoint);
  saves[0]?.commit();
  await vi.advanceTimersByTimeAsync(0);
  expect(isIdle(endpoint, Date.now())).toBe(false);
  saves[1]?.commit();
  await vi.advanceTimersByTimeAsync(0);
  expect(isIdle(endpoint, Date.now())).toBe(true);
  recorder.note({ endpoint, parked: { t: 't_acme', e: 'e', p: 1 } });
  await vi.advanceTimersByTimeAsync(1000);
  saves[2]?.commit();
  recorder.tick();
  await vi.advanceTimersByTimeAsync(0);
  const states = saves.flatMap((save) => save.states.map(({ circuit, failures }) => [circuit, failures]));
  expect(states).toEqual([
    ['closed', 1],
    ['closed', 2],
    [null, 2],
  ]);
});

test('a paused endpoint is not asked for because of new deliveries, but when it is found due', () => {
  const endpoint = newEndpoint('t_acme', 'e');
  const now = Date.now();
  endpoint.health.pausedUntil = now + 1000;
  Object.assign(endpoint, { urgent: true, wantAt: 0 });
  expect(askOf(endpoint, now)).toBeUndefined();
  expect(endpoint.wantAt).toBe(now + 1000);
  Object.assign(endpoint, { foundDue: true, wantAt: 0 });
  expect(askOf(endpoint, now)).toMatchObject({ id: 'e' });
});
