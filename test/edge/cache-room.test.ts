import { afterAll, beforeAll, expect, test } from 'vitest';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// How much is kept: of one tenant, and of all.

const TOTAL = 120_000;
let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack({ edge: true, env: { EDGE_CACHE_BYTES: String(TOTAL) } });
});
afterAll(() => stack?.stop());

async function tenant(id: string, cacheBytes?: number): Promise<string> {
  await stack.createTenant(id);
  const settings = 'insert into tenancy.tenant_settings (tenant_id, cache_bytes) values ($1, $2)';
  if (cacheBytes) await stack.migrator.query(settings, [id, cacheBytes]);
  const token = await stack.token({ tenant: id });
  // An answer that came before the edge was told of the new tenant is not kept.
  await expect.poll(() => cacheOf(token, 1), { interval: 20 }).toBe('HIT');
  return token;
}

async function cacheOf(token: string, nth: number): Promise<string | null> {
  const { status, headers } = await http(`${stack.edge}/v1/files?select=id&limit=${nth}`, { token });
  expect(status).toBe(200);
  return headers.get('x-cache');
}

async function hits(token: string, count: number): Promise<number> {
  let found = 0;
  for (let nth = 1; nth <= count; nth++) if ((await cacheOf(token, nth)) === 'HIT') found++;
  return found;
}

test("fills a tenant's own room and no more, the oldest answers going first", async () => {
  const small = await tenant('t_small', 20_000);
  for (let nth = 1; nth <= 40; nth++) await cacheOf(small, nth);
  expect(await cacheOf(small, 40)).toBe('HIT');
  expect(await cacheOf(small, 39)).toBe('HIT');
  expect(await cacheOf(small, 1)).toBe('MISS');
});

test('does not keep an answer that would take a large part of the room', async () => {
  const small = await tenant('t_rows', 20_000);
  const body = Array.from({ length: 100 }, (_, nth) => ({ name: `${nth}`, content_type: 'text/csv', size: 1 }));
  expect((await http(`${stack.edge}/v1/files`, { token: small, body })).status).toBe(201);
  for (let nth = 0; nth < 2; nth++) {
    const { headers, body: rows } = await http<unknown[]>(`${stack.edge}/v1/files`, { token: small });
    expect([headers.get('x-cache'), rows.length]).toEqual(['MISS', 100]);
  }
});

test("takes nothing from a tenant below its share for another's growth", async () => {
  const quiet = await tenant('t_quiet');
  const loud = await tenant('t_loud');
  await hits(quiet, 5);
  expect(await hits(quiet, 5)).toBe(5);
  await hits(loud, 200);
  expect(await hits(quiet, 5)).toBe(5);
  expect(await cacheOf(loud, 200)).toBe('HIT');
  expect(await cacheOf(loud, 1)).toBe('MISS');
});
