import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// How much is kept: of one tenant, and of all.

const TOTAL = 120_000;
let stack: TestStack;

beforeAll(async () => {
  // A busy machine that is late by 250 ms would make a MISS of what is kept.
  const env = { EDGE_CACHE_BYTES: String(TOTAL), EDGE_CACHE_PATIENCE_MS: '1000' };
  stack = await createTestStack({ edge: true, env });
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

test('gives nobody an answer too large to keep, of which no change is told any more', async () => {
  const followers = `from pg_stat_activity where application_name = 'rowhouse-edge-follower' and datname = current_database()`;
  const waiting = `select from pg_stat_activity where wait_event_type = 'Lock' and usename = 'authenticator' and datname = current_database()`;
  await stack.migrator.query(`
    create function v1.held() returns text language plpgsql stable security invoker set search_path = '' as $$
    declare files bigint := (select count(*) from app.files);
    begin
      perform from app.job_findings limit 1;
      return files || repeat(' ', 300);
    end $$;
    comment on function v1.held() is '@cacheable app.files';
    grant execute on function v1.held() to tenant_user;
    notify pgrst, 'reload schema'`);
  // A quarter of the room is enough for the answer, the whole not for what is kept with it.
  await stack.createTenant('t_tiny');
  const settings = `insert into tenancy.tenant_settings (tenant_id, cache_bytes) values ('t_tiny', 1600)`;
  await stack.migrator.query(settings);
  const tiny = await stack.token({ tenant: 't_tiny' });
  const held = async () => {
    const { status, headers, body } = await http(`${stack.edge}/v1/rpc/held`, { token: tiny });
    return [status, headers.get('x-cache'), Number.parseInt(String(body), 10)];
  };
  await expect.poll(held, { interval: 20 }).toEqual([200, 'MISS', 0]);

  const [first, second] = await connected(stack.database.migrator, async (locker) => {
    await locker.query('begin; lock table app.job_findings in access exclusive mode');
    const one = held();
    await expect.poll(async () => (await stack.admin.query(waiting)).rowCount).toBe(1);
    const { rows } = await stack.admin.query<{ pid: number }>(`select pid ${followers}`);
    for (const { pid } of rows) process.kill(pid, 'SIGSTOP');
    try {
      const body = { name: 'between', content_type: 'text/csv', size: 1 };
      expect((await http(`${stack.postgrest}/files`, { token: tiny, body })).status).toBe(201);
      const other = held();
      // Until it waits for the first one and for the follower; where it does not yet, this tries nothing, and holds.
      await delay(80);
      await locker.query('commit');
      return [await one, other];
    } finally {
      for (const { pid } of rows) process.kill(pid, 'SIGCONT');
    }
  });
  expect([first, await second]).toEqual([
    [200, 'MISS', 0],
    [200, 'MISS', 1],
  ]);
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
