import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { changeSettings, tenantWith } from './limited-tenants.ts';
import { type SecondEdge, startEdge } from './second-edge.ts';
import { type OpenStream, openStream, problemOf } from './sse.ts';

// Many streams, slow streams, too many streams; and an edge that ends.

let stack: TestStack;
const open: OpenStream[] = [];

beforeAll(async () => {
  stack = await createTestStack({ edge: true });
});
afterEach(() => {
  for (const stream of open.splice(0)) stream.close();
});
afterAll(() => stack?.stop());

async function listen(edge: string, token: string, query = '', headers = {}): Promise<OpenStream> {
  const stream = await openStream(edge, { token, query, headers });
  open.push(stream);
  return stream;
}

const emit = (tenant: string, from: number, to: number, bytes = 10) =>
  stack.migrator.query(
    `select ledger.append_event($1, 'test.numbered', n::text, jsonb_build_object('filling', repeat('x', $4)))
     from generate_series($2::int, $3::int) as n`,
    [tenant, from, to, bytes],
  );
const subjects = (stream: OpenStream) =>
  stream.events.filter(({ event }) => event === 'test.numbered').map(({ data }) => Number(data.subject));
const upTo = (count: number) => Array.from({ length: count }, (_, nth) => nth + 1);
const residentMb = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
const reasons = ({ lines }: Pick<SecondEdge, 'lines'>) =>
  lines.filter((line) => line.includes('"stream ended"')).map((line) => JSON.parse(line).reason as string);

async function withEdge(env: Record<string, string>, work: (edge: SecondEdge) => Promise<void>): Promise<void> {
  const edge = await startEdge(stack, env);
  try {
    await work(edge);
  } finally {
    await edge.stop();
  }
}

describe('a client that reads slowly', () => {
  test('is waited for, keeps nobody waiting, and gets everything in order when it reads again', async () => {
    const { id, token } = await tenantWith(stack);
    const [slow, quick] = [await listen(stack.edge, token), await listen(stack.edge, token)];
    slow.pause();
    const before = residentMb(stack.pid('edge'));
    for (let from = 1; from <= 1000; from += 100) await emit(id, from, from + 99, 30_000);
    // 30 MB, of which the edge must not keep much for one that reads nothing.
    await quick.take(1000, 60_000);
    const during = residentMb(stack.pid('edge'));
    await emit(id, 1001, 1001);
    const started = performance.now();
    await quick.take(1001);
    expect(performance.now() - started).toBeLessThan(1000);
    expect(slow.events.length).toBeLessThan(1000);
    slow.resume();
    await slow.take(1001, 60_000);
    expect(subjects(quick)).toEqual(upTo(1001));
    expect(subjects(slow)).toEqual(upTo(1001));
    expect(during - before).toBeLessThan(150);
  });

  test('is given up when it reads nothing, and goes on where it was', async () => {
    const { id, token } = await tenantWith(stack);
    await withEdge({ EDGE_STREAM_STALL_MS: '1000', EDGE_STREAM_BYTES: '65536' }, async (edge) => {
      const [slow, quick] = [await listen(edge.url, token), await listen(edge.url, token)];
      slow.pause();
      for (let from = 1; from <= 400; from += 100) await emit(id, from, from + 99, 60_000);
      await expect.poll(() => reasons(edge), { timeout: 20_000 }).toContain('stream_stalled');
      await quick.take(400, 60_000);
      slow.resume();
      await slow.ended;
      const seen = subjects(slow);
      expect(seen.length).toBeLessThan(400);
      const rest = await listen(edge.url, token, '', { 'last-event-id': slow.lastEventId ?? 'evt_0' });
      await rest.take(400 - seen.length, 60_000);
      expect([...seen, ...subjects(rest)]).toEqual(upTo(400));
      expect(reasons(edge)).toEqual(['stream_stalled']);
    });
  });

  test('gives way, the slowest first, when all of them together have too much before them', async () => {
    const { id, token } = await tenantWith(stack);
    await withEdge({ EDGE_STREAMS_BYTES: '4000000', EDGE_STREAM_BYTES: '2000000' }, async (edge) => {
      const slow = await Promise.all(upTo(6).map(() => listen(edge.url, token)));
      for (const stream of slow) stream.pause();
      for (let from = 1; from <= 300; from += 50) await emit(id, from, from + 49, 60_000);
      await expect.poll(() => reasons(edge), { timeout: 20_000 }).toContain('stream_stalled');
      await delay(600);
      const given = reasons(edge).length;
      expect(given).toBeGreaterThan(0);
      expect(given).toBeLessThan(6);
    });
  });
});

describe('limits', () => {
  test('a tenant has so many streams open, and another when one is closed; other tenants have theirs', async () => {
    const { id, token } = await tenantWith(stack, { open_streams: 2 });
    const other = await tenantWith(stack);
    const [first, second] = [await listen(stack.edge, token), await listen(stack.edge, token)];
    const third = await listen(stack.edge, token);
    expect([problemOf(third), third.headers['retry-after']]).toMatchObject([
      { status: 429, code: 'stream_limit', detail: 'The tenant can have 2 streams open at once.' },
      '5',
    ]);
    expect((await listen(stack.edge, other.token)).status).toBe(200);
    first.close();
    await expect.poll(async () => (await listen(stack.edge, token)).status).toBe(200);
    expect((await listen(stack.edge, token)).status).toBe(429);
    // Refused ones count for nothing.
    await changeSettings(stack, id, { open_streams: 3 });
    await expect.poll(async () => (await listen(stack.edge, token)).status).toBe(200);
    expect((await listen(stack.edge, token)).status).toBe(429);
    expect(second.reason()).toBeUndefined();
  });

  test('an edge has so many streams open', async () => {
    const tenants = await Promise.all(upTo(3).map(() => tenantWith(stack)));
    await withEdge({ EDGE_STREAMS_MAX: '2' }, async (edge) => {
      const [one, two, three] = tenants.map(({ token }) => token) as [string, string, string];
      const first = await listen(edge.url, one);
      await listen(edge.url, two);
      expect(problemOf(await listen(edge.url, three))).toMatchObject({
        status: 429,
        code: 'stream_limit',
        detail: 'This edge keeps at most 2 streams open.',
      });
      first.close();
      await expect.poll(async () => (await listen(edge.url, three)).status).toBe(200);
    });
  });

  test('a stream takes one unit of the tenant’s reads and no place among its requests', async () => {
    const { token } = await tenantWith(stack, {
      read_rate: 1,
      read_burst: 10,
      request_concurrency: 1,
    });
    const streams = await Promise.all(upTo(5).map(() => listen(stack.edge, token)));
    expect(streams.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    const get = await fetch(`${stack.edge}/v1/files`, { headers: { authorization: `Bearer ${token}` } });
    expect(get.status).toBe(200);
    await get.body?.cancel();
    let refused: OpenStream | undefined;
    for (let nth = 0; nth < 10 && refused?.status !== 429; nth++) refused = await listen(stack.edge, token);
    expect(problemOf(refused as OpenStream)).toMatchObject({ status: 429, code: 'rate_limited' });
  });
});

/**
 * So many streams of each of 40 tenants as the wanted ones, or fewer where this machine has too few open files for them: each stream is one
 * here and one in the edge. The soft limit is none, Node raises it to the hard one.
 */
function roomFor(wanted: number): number {
  const limits = existsSync('/proc/self/limits') ? readFileSync('/proc/self/limits', 'utf8') : '';
  const files = Number(/Max open files +(\d+)/.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
  const room = Math.min(wanted, Math.floor((files - 300) / 40));
  if (room < wanted) console.warn(`${room * 40} streams, not ${wanted * 40}: no more than ${files} files can be open`);
  return room;
}

test('thousands of idle streams share one look at the ledger, and each tenant’s get its events', async () => {
  const tenants = await Promise.all(upTo(40).map(() => tenantWith(stack)));
  const streams: { id: string; stream: OpenStream }[] = [];
  const each = roomFor(50);
  for (let round = 0; round < each; round++) {
    await Promise.all(
      tenants.map(async ({ id, token }) => streams.push({ id, stream: await listen(stack.edge, token) })),
    );
  }
  expect(streams.filter(({ stream }) => stream.status !== 200)).toEqual([]);
  expect(streams).toHaveLength(each * 40);
  const statements = async () => {
    await stack.admin.query('select pg_stat_force_next_flush()');
    const { rows } = await stack.admin.query(
      `select xact_commit::int as count from pg_stat_database where datname = current_database()`,
    );
    return rows[0].count as number;
  };
  // Ten looks a second, and what else an idle stack does. Sessions tell up to ten seconds later what they have done: not of every second.
  const seconds: number[] = [];
  for (let before = await statements(); seconds.length < 5; before += seconds.at(-1) ?? 0) {
    await delay(1000);
    seconds.push((await statements()) - before);
  }
  expect(seconds.toSorted((a, b) => a - b)[2], seconds.join(' ')).toBeLessThan(50);

  const chosen = tenants.filter((_, nth) => nth % 4 === 0).map(({ id }) => id);
  for (const id of chosen) await emit(id, 1, 3);
  const listening = streams.filter(({ id }) => chosen.includes(id));
  await Promise.all(listening.map(({ stream }) => stream.take(3)));
  for (const { id, stream } of streams) expect(subjects(stream)).toEqual(chosen.includes(id) ? [1, 2, 3] : []);
});

describe('an edge', () => {
  test('that ends says so to every stream, and when to come back', async () => {
    const { id, token } = await tenantWith(stack);
    const edge = await startEdge(stack);
    const streams = await Promise.all(upTo(20).map(() => listen(edge.url, token)));
    await emit(id, 1, 1);
    await Promise.all(streams.map((stream) => stream.take(1)));
    const started = performance.now();
    await edge.stop();
    expect(performance.now() - started).toBeLessThan(5000);
    for (const stream of streams) {
      expect(await stream.ended).toBe('ended');
      expect(stream.reason()).toMatchObject({ code: 'edge_draining', status: 503 });
      expect(stream.retryMs).toBeGreaterThanOrEqual(1000);
    }
    expect(new Set(streams.map(({ retryMs }) => retryMs)).size).toBeGreaterThan(1);
    expect(edge.lines.filter((line) => line.includes('still had work in hand'))).toEqual([]);
  });

  test('that loses the database keeps its streams, and goes on where they were', async () => {
    const { id, token } = await tenantWith(stack);
    const stream = await listen(stack.edge, token);
    await stack.admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where application_name like 'rowhouse-edge%' and datname = current_database()`,
    );
    await emit(id, 1, 2);
    await stream.take(2);
    expect([subjects(stream), stream.reason()]).toEqual([[1, 2], undefined]);
  });

  test('keeps nothing of clients that go', async () => {
    const { id, token } = await tenantWith(stack, { open_streams: 100 });
    for (let round = 0; round < 5; round++) {
      const streams = await Promise.all(upTo(20).map(() => openStream(stack.edge, { token })));
      for (const stream of streams) stream.close();
    }
    const ended = () =>
      stack.lines('edge').filter((line) => line.includes('"stream ended"') && JSON.parse(line).tenant_id === id);
    await expect.poll(() => ended().length).toBe(100);
    expect(new Set(ended().map((line) => JSON.parse(line).reason))).toEqual(new Set(['client_gone']));
  });
});
