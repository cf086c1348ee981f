import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type OpenStream, openStream, type StreamOptions } from './sse.ts';

// Transactions end in another order than they wrote in. A stream is in the order of the ledger, and has all of it.

let stack: TestStack;
let acme: string;
const open: OpenStream[] = [];

beforeAll(async () => {
  stack = await createTestStack({ edge: true });
  await stack.createTenant('t_acme');
  acme = await stack.token({ tenant: 't_acme' });
});
afterEach(() => {
  for (const stream of open.splice(0)) stream.close();
});
afterAll(() => stack?.stop());

async function listen(options: Partial<StreamOptions> = {}): Promise<OpenStream> {
  const stream = await openStream(stack.edge, { token: acme, ...options });
  open.push(stream);
  return stream;
}

const insert = (tenant: string, name: string) =>
  `insert into app.files (tenant_id, kind, name, content_type, size, created_by)
   values ('${tenant}', 'upload', '${name}', 'text/csv', 1, 'test')`;
const names = (stream: OpenStream) => stream.events.map(({ data }) => data.data.new?.name);
const ids = (stream: OpenStream) => stream.events.map(({ id }) => id);

/** A tenant whose entries go through the same slot as those of t_acme, or through another. */
async function neighbour(same: boolean): Promise<string> {
  const { rows } = await stack.admin.query(
    `select 't_near' || n as id from generate_series(1, 200) as n
     where (ledger.slot('t_near' || n) = ledger.slot('t_acme')) = $1 limit 1`,
    [same],
  );
  return rows[0].id;
}

test('waits for a writer that holds a lower position, live and resuming', async () => {
  const live = await listen();
  const { lastEventId = '' } = live;
  await connected(stack.database.admin, async (early) => {
    await early.query('begin');
    await early.query(insert('t_acme', 'early'));
    await stack.admin.query(insert('t_acme', 'late'));
    const resumed = await listen({ headers: { 'last-event-id': lastEventId } });
    const fresh = await listen();
    await delay(500);
    expect([names(live), names(resumed), names(fresh)]).toEqual([[], [], []]);
    await early.query('commit');
    for (const stream of [live, resumed]) {
      await stream.take(2);
      expect(names(stream)).toEqual(['early', 'late']);
    }
    // It was opened before the first was committed: what commits afterwards is behind it.
    await fresh.take(1);
    expect(names(fresh)).toContain('early');
  });
});

test('goes on when the writer that held it back does nothing, and is a tenant of the same slot', async () => {
  const other = await neighbour(true);
  await stack.createTenant(other);
  const stream = await listen();
  await connected(stack.database.admin, async (early) => {
    await early.query('begin');
    await early.query(insert(other, 'nothing'));
    await stack.admin.query(insert('t_acme', 'waits'));
    await delay(400);
    expect(names(stream)).toEqual([]);
    await early.query('rollback');
  });
  await stream.take(1);
  expect(names(stream)).toEqual(['waits']);
});

test('does not wait for writers of other slots', async () => {
  const other = await neighbour(false);
  await stack.createTenant(other);
  const stream = await listen();
  await connected(stack.database.admin, async (early) => {
    await early.query('begin');
    await early.query(insert(other, 'nothing'));
    await stack.admin.query(insert('t_acme', 'goes on'));
    await stream.take(1);
    expect(names(stream)).toEqual(['goes on']);
    await early.query('rollback');
  });
});

test('of an event that was read elsewhere ahead of a writer, resumes before that writer', async () => {
  await connected(stack.database.admin, async (early) => {
    await early.query('begin');
    await early.query(insert('t_acme', 'overtaken'));
    await stack.admin.query(insert('t_acme', 'overtakes'));
    const { rows } = await stack.admin.query(
      `select 'evt_' || max(position) as id from ledger.entries where tenant_id = 't_acme' and new ->> 'name' = 'overtakes'`,
    );
    const stream = await listen({ headers: { 'last-event-id': rows[0].id } });
    await early.query('commit');
    await stream.take(1);
    expect(names(stream)).toContain('overtaken');
  });
});

test('has every event once and in order, however writers and readers come and go', async () => {
  const live = await listen();
  const { lastEventId: start = '' } = live;
  const until = performance.now() + 4000;
  let written = 0;

  async function write(writer: number): Promise<void> {
    await connected(stack.database.admin, async (client) => {
      for (let nth = 0; performance.now() < until; nth++) {
        await client.query('begin');
        for (let row = 0; row <= nth % 3; row++) await client.query(insert('t_acme', `w${writer}-${nth}-${row}`));
        await delay(Math.random() * 40);
        const commits = nth % 4 !== 3;
        await client.query(commits ? 'commit' : 'rollback');
        if (commits) written += (nth % 3) + 1;
      }
    });
  }

  /** Comes and goes, each time with the last id that it has seen. */
  async function comeAndGo(): Promise<(string | undefined)[]> {
    const seen: (string | undefined)[] = [];
    let last = start;
    while (performance.now() < until) {
      const stream = await listen({ headers: { 'last-event-id': last } });
      await delay(Math.random() * 300);
      stream.close();
      seen.push(...ids(stream));
      last = stream.lastEventId ?? last;
    }
    const stream = await listen({ headers: { 'last-event-id': last } });
    await expect.poll(() => seen.length + stream.events.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(written);
    return [...seen, ...ids(stream)];
  }

  const writers = Promise.all([1, 2, 3, 4, 5, 6].map(write));
  const readers = Promise.all([comeAndGo(), comeAndGo(), writers.then(() => [])]);
  const [first, second] = await readers;
  const { rows } = await stack.admin.query(
    `select 'evt_' || position as id from ledger.entries
     where tenant_id = 't_acme' and position > $1 order by position`,
    [start.slice(4)],
  );
  const all = rows.map(({ id }) => id);
  expect(all).toHaveLength(written);
  expect(written).toBeGreaterThan(100);
  await live.take(written);
  expect(ids(live)).toEqual(all);
  expect(first).toEqual(all);
  expect(second).toEqual(all);
});
