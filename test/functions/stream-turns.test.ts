import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Pool } from '../../functions/database.ts';
import { createReader, type PageRequest } from '../../functions/edge/stream/reader.ts';

// Whose requests go into the next statement, when some tenants have more than it holds.

interface Asked {
  token: string;
  types: string[] | null;
}

/** A database that answers when it is told to. */
function heldDatabase() {
  const statements: { asked: Asked[]; answer(): Promise<void> }[] = [];
  const query = ({ values }: { values: [string] }) =>
    new Promise<object>((resolve) => {
      const asked = JSON.parse(values[0]) as Asked[];
      const rows = asked.map((_, nth) => [nth + 1, '7', null, null, null, 'viewer', false, false, null, null]);
      statements.push({
        asked,
        answer: async () => {
          resolve({ rows });
          await setImmediate();
          await setImmediate();
        },
      });
    });
  return { pool: { query } as unknown as Pool, statements };
}

const request = (tenantId: string, kind: 'live' | 'behind' | 'searching'): PageRequest => ({
  tenantId,
  live: kind === 'live',
  token: `${tenantId} ${kind}`,
  after: 0,
  settled: 0,
  seen: null,
  selection: kind === 'searching' ? { types: ['rare.%'], subject: null } : null,
});

const asks = (count: number, ...[tenant, kind]: Parameters<typeof request>) =>
  Array.from({ length: count }, () => request(tenant, kind));
const tally = (asked: Asked[]) => Object.groupBy(asked, ({ token }) => token);
const counts = (asked: Asked[]) =>
  Object.fromEntries(Object.entries(tally(asked)).map(([token, of]) => [token, of?.length]));

test('what is live goes at once, however many streams of another tenant catch up', async () => {
  const { pool, statements } = heldDatabase();
  const reader = createReader(pool);
  for (const one of asks(500, 't_acme', 'searching')) void reader.read(one);
  await setImmediate();
  await setImmediate();
  expect(statements).toHaveLength(2);
  const page = reader.read(request('t_globex', 'live'));
  await setImmediate();
  await setImmediate();
  expect(statements).toHaveLength(3);
  expect(counts(statements[2]?.asked ?? [])).toEqual({ 't_globex live': 1 });
  await statements[2]?.answer();
  expect(await page).toMatchObject({ role: 'viewer', through: 7 });
});

test('a statement searches once for a tenant, and reads for the others in turn', async () => {
  const { pool, statements } = heldDatabase();
  const reader = createReader(pool);
  for (const one of asks(100, 't_acme', 'searching')) void reader.read(one);
  for (const one of asks(100, 't_acme', 'behind')) void reader.read(one);
  for (const one of asks(3, 't_globex', 'searching')) void reader.read(one);
  for (const one of asks(5, 't_initech', 'behind')) void reader.read(one);
  await setImmediate();
  await setImmediate();
  expect(counts(statements[0]?.asked ?? [])).toEqual({
    't_acme searching': 1,
    't_acme behind': 25,
    't_globex searching': 1,
    't_initech behind': 5,
  });
  expect(counts(statements[1]?.asked ?? [])).toEqual({
    't_acme searching': 1,
    't_acme behind': 30,
    't_globex searching': 1,
  });
});

test('those that are behind keep a statement while the live of many tenants never end', async () => {
  const { pool, statements } = heldDatabase();
  const reader = createReader(pool);
  for (let nth = 0; nth < 200; nth++) void reader.read(request(`t_busy${nth}`, 'live'));
  const page = reader.read(request('t_acme', 'behind'));
  await setImmediate();
  await setImmediate();
  expect(statements.map(({ asked }) => asked.length)).toEqual([32, 32, 1]);
  await statements[2]?.answer();
  expect(await page).toMatchObject({ role: 'viewer' });
  expect(statements).toHaveLength(4);
});

test('every request is answered, in the order of its tenant', async () => {
  const { pool, statements } = heldDatabase();
  const reader = createReader(pool);
  const order: number[] = [];
  const all = asks(100, 't_acme', 'searching').map((one, nth) => reader.read(one).then(() => order.push(nth)));
  await setImmediate();
  for (let nth = 0; nth < 100; nth++) {
    await setImmediate();
    await statements[nth]?.answer();
  }
  await Promise.all(all);
  expect(order).toEqual(order.toSorted((one, other) => one - other));
});
