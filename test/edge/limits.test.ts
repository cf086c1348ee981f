import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../functions/stack/ports.ts';
import { http } from '../support/http.ts';
import { promptly } from '../support/promptly.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { changeSettings, tenantWith } from './limited-tenants.ts';
import { overload, type Tally } from './overload.ts';
import { type SecondEdge, startEdge } from './second-edge.ts';

/** How much of the limit is let through at least: nearly all where it was the limit that held requests back; a busy machine sends less. */
const leastOf = ({ contended }: Tally, contendedLeast = 0.9) => (contended ? contendedLeast : 0.6);

let stack: TestStack;
let second: SecondEdge;

beforeAll(async () => {
  stack = await createTestStack({ edge: true });
  second = await startEdge(stack);
});

afterAll(async () => {
  await second?.stop();
  await stack?.stop();
});

const read = (edge: string, token?: string) =>
  http<{ code?: string }>(`${edge}/v1/tenant?select=id`, token === undefined ? {} : { token });
const fieldsOf = ({ headers }: { headers: Headers }) => [headers.get('ratelimit-policy'), headers.get('ratelimit')];

async function statusesOf(count: number, ask: () => Promise<{ status: number }>): Promise<Record<number, number>> {
  const answers = await Promise.all(Array.from({ length: count }, ask));
  const counted: Record<number, number> = {};
  for (const { status } of answers) counted[status] = (counted[status] ?? 0) + 1;
  return counted;
}

async function until<T>(ask: () => T | Promise<T>, good: (value: T) => boolean, ms = 10_000): Promise<T> {
  const end = performance.now() + ms;
  for (;;) {
    const value = await ask();
    if (good(value) || performance.now() > end) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const logged = (lines: readonly string[], text: string) =>
  lines.filter((line) => line.includes(`"msg":"${text}"`)).length;

describe('a limit', () => {
  test('is told in fields of the IETF draft, unit by unit, until a 429 that says how long to wait', async () => {
    const { token, seen, refused } = await promptly(
      1000,
      () => tenantWith(stack, { read_rate: 1, read_burst: 3 }),
      async ({ token }) => {
        const seen = [];
        for (let nth = 0; nth < 3; nth++) {
          const answer = await read(stack.edge, token);
          seen.push([answer.status, ...fieldsOf(answer)]);
        }
        return { token, seen, refused: await read(stack.edge, token) };
      },
    );
    expect(seen).toEqual([
      [200, '"read";q=1;w=1;rowhouse-burst=3', '"read";r=2;t=1'],
      [200, '"read";q=1;w=1;rowhouse-burst=3', '"read";r=1;t=1'],
      [200, '"read";q=1;w=1;rowhouse-burst=3', '"read";r=0;t=1'],
    ]);
    expect([refused.status, ...fieldsOf(refused), refused.headers.get('retry-after')]).toEqual([
      429,
      '"read";q=1;w=1;rowhouse-burst=3',
      '"read";r=0;t=1',
      '1',
    ]);
    expect(refused.headers.get('content-type')).toBe('application/problem+json');
    expect(refused.body).toEqual({
      type: 'https://rowhouse.dev/errors/rate_limited',
      title: 'Too many requests',
      status: 429,
      detail: 'read: 1 requests a second, at most 3 at once.',
      instance: '/v1/tenant',
      code: 'rate_limited',
      message: 'Too many requests',
      details: 'read: 1 requests a second, at most 3 at once.',
      hint: 'Wait as long as Retry-After says; the RateLimit field tells what is left.',
    });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect((await read(stack.edge, token)).status, 'after Retry-After').toBe(200);
  });

  test('is one for reads, one for writes, and one for functions and exact counts', async () => {
    const { token } = await tenantWith(stack, {
      read_rate: 1,
      read_burst: 1,
      write_rate: 2,
      write_burst: 2,
      expensive_rate: 3,
      expensive_burst: 3,
    });
    const [readPolicy] = fieldsOf(await read(stack.edge, token));
    const jobs = `${stack.edge}/v1/jobs`;
    const [writePolicy] = fieldsOf(await http(`${jobs}?id=is.null`, { token, method: 'DELETE' }));
    const [callPolicy] = fieldsOf(await http(`${stack.edge}/v1/rpc/cancel_job`, { token, body: {} }));
    const [countPolicy] = fieldsOf(await http(jobs, { token, headers: { prefer: 'count=exact' } }));
    expect([readPolicy, writePolicy, callPolicy, countPolicy]).toEqual([
      '"read";q=1;w=1;rowhouse-burst=1',
      '"write";q=2;w=1;rowhouse-burst=2',
      '"expensive";q=3;w=1;rowhouse-burst=3',
      '"expensive";q=3;w=1;rowhouse-burst=3',
    ]);
    expect((await read(stack.edge, token)).status).toBe(429);
    expect((await http(jobs, { token, headers: { prefer: 'count=exact' } })).status).toBe(200);
  });

  test('is for the storage’s routes as well', async () => {
    const { token } = await tenantWith(stack, { write_rate: 1, write_burst: 1 });
    const announce = () =>
      http<{ code?: string }>(`${stack.edge}/storage/v1/uploads`, {
        token,
        body: { name: 'a.csv', content_type: 'text/csv', size: 1 },
      });
    const first = await announce();
    expect([first.status, ...fieldsOf(first)]).toEqual([201, '"write";q=1;w=1;rowhouse-burst=1', '"write";r=0;t=1']);
    const second = await announce();
    expect([second.status, second.body.code, second.headers.get('retry-after')]).toEqual([429, 'rate_limited', '1']);
  });

  test('is another tenant’s business only', async () => {
    const busy = await tenantWith(stack, { read_rate: 1, read_burst: 1 });
    const quiet = await tenantWith(stack);
    expect((await read(stack.edge, busy.token)).status).toBe(200);
    expect((await read(stack.edge, busy.token)).status).toBe(429);
    expect(await statusesOf(30, () => read(stack.edge, quiet.token))).toEqual({ 200: 30 });
  });

  test('changes without a restart, up and down', async () => {
    const { id, token } = await tenantWith(stack, { read_rate: 1, read_burst: 1 });
    await read(stack.edge, token);
    expect((await read(stack.edge, token)).status).toBe(429);
    await changeSettings(stack, id, { read_rate: 1000, read_burst: 2000 });
    // The bucket is larger at once, and as empty as it was: it fills at the new rate.
    const more = await until(
      () => read(stack.edge, token),
      (answer) => Number(/r=(\d+)/.exec(String(fieldsOf(answer)[1]))?.[1]) > 100,
    );
    expect(fieldsOf(more)[0]).toBe('"read";q=1000;w=1;rowhouse-burst=2000');
    expect(await statusesOf(40, () => read(stack.edge, token))).toEqual({ 200: 40 });
    await changeSettings(stack, id, { read_rate: 1, read_burst: 2 });
    const less = await until(
      () => read(stack.edge, token),
      ({ status }) => status === 429,
    );
    expect(fieldsOf(less)).toEqual(['"read";q=1;w=1;rowhouse-burst=2', '"read";r=0;t=1']);
  });

  test('in shadow mode counts and logs, and lets everything through', async () => {
    const { token, id } = await tenantWith(stack, { read_rate: 1, read_burst: 2, rate_shadow: true });
    // At once: the bucket gains a token each second.
    const answers = await Promise.all(Array.from({ length: 6 }, () => read(stack.edge, token)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200]);
    expect(answers.map(fieldsOf)).toContainEqual(['"read";q=1;w=1;rowhouse-burst=2;rowhouse-shadow', '"read";r=0;t=1']);
    const lines = () =>
      stack
        .lines('edge')
        .filter((line) => line.includes('over the rate limit, in shadow mode'))
        .map((line) => JSON.parse(line) as { tenant_id: string; kind: string; requests: number });
    const own = () => lines().filter(({ tenant_id }) => tenant_id === id);
    const counted = () => own().reduce((sum, line) => sum + line.requests, 0);
    await until(counted, (sum) => sum >= 4);
    expect(own()[0]).toMatchObject({ tenant_id: id, kind: 'read' });
    expect(counted()).toBe(4);
  });

  test('charges large answers afterwards, where the tenant is weighted', async () => {
    const { id, token } = await tenantWith(stack, { read_rate: 1, read_burst: 20, rate_weighted: true });
    await stack.admin.query(
      `insert into app.files (tenant_id, name, content_type, size, created_by)
       select $1, repeat('n', 180) || nth, 'text/csv', 10, 'owner' from generate_series(1, 2000) as nth`,
      [id],
    );
    const list = () =>
      http(`${stack.edge}/v1/files?select=name&limit=2000`, { token, headers: { 'accept-encoding': 'identity' } });
    const first = await list();
    expect([first.status, fieldsOf(first)[1]]).toEqual([200, '"read";r=19;t=1']);
    // 400 kB are six units of 64 KiB.
    const left = await until(
      async () => {
        const remaining = /r=(\d+)/.exec(fieldsOf(await read(stack.edge, token))[1] ?? '')?.[1];
        return Number(remaining);
      },
      (units) => units < 16,
      2000,
    );
    expect(left).toBeGreaterThanOrEqual(8);
    expect(left).toBeLessThan(16);
  });
});

describe('without a token', () => {
  test('an address has a small bucket of its own, and no tenant pays for it', async () => {
    const { token } = await tenantWith(stack, { read_rate: 50, read_burst: 50 });
    const edge = await startEdge(stack, { EDGE_ADDRESS_RATE: '1', EDGE_ADDRESS_BURST: '5' });
    try {
      expect(await statusesOf(9, () => read(edge.url))).toEqual({ 401: 5, 429: 4 });
      const refused = await read(edge.url);
      expect([refused.body.code, ...fieldsOf(refused)]).toEqual([
        'rate_limited',
        '"address";q=1;w=1;rowhouse-burst=5',
        '"address";r=0;t=1',
      ]);
      expect((await read(edge.url, 'a.b.c')).status, 'a forged token is none').toBe(429);
      const answer = await read(edge.url, token);
      expect([answer.status, fieldsOf(answer)[1]]).toEqual([200, '"read";r=49;t=1']);
    } finally {
      await edge.stop();
    }
  });
});

describe('two edges share one limit', () => {
  const both = () => [`${stack.edge}/v1/tenant?select=id`, `${second.url}/v1/tenant?select=id`];
  const RATE = 100;
  const BURST = 100;
  const ratio = ({ seconds, statuses }: { seconds: number; statuses: Record<number, number> }) =>
    (statuses[200] ?? 0) / (RATE * seconds + BURST);

  afterEach(async () => {
    await stack.admin.query(`grant execute on function metering.lease(text[], text[], double precision[], double precision[],
      double precision[], double precision[], double precision[]) to rowhouse_edge`);
  });
  const revoke = () =>
    stack.admin.query(`revoke execute on function metering.lease(text[], text[], double precision[], double precision[],
      double precision[], double precision[], double precision[]) from rowhouse_edge`);

  test('to 2 % over ten seconds of overload from both', async () => {
    const { token } = await tenantWith(stack, { read_rate: RATE, read_burst: BURST });
    const tally = await overload(both(), { token, seconds: 10 });
    expect(Object.keys(tally.statuses)).toEqual(['200', '429']);
    expect(ratio(tally)).toBeGreaterThan(leastOf(tally, 0.98));
    expect(ratio(tally)).toBeLessThan(1.02);
  });

  test('and serve on by their share of it while the table cannot be reached, and then together again', async () => {
    const { token } = await tenantWith(stack, { read_rate: RATE, read_burst: BURST });
    await until(
      async () => (await stack.admin.query('select count(*)::integer as edges from metering.edges')).rows[0].edges,
      (edges) => edges >= 2,
    );
    const cut = setTimeout(revoke, 2000);
    const back = setTimeout(
      () =>
        stack.admin.query(`grant execute on function metering.lease(text[], text[], double precision[], double precision[],
          double precision[], double precision[], double precision[]) to rowhouse_edge`),
      6000,
    );
    const tally = await overload(both(), { token, seconds: 10 });
    clearTimeout(cut);
    clearTimeout(back);
    expect(Object.keys(tally.statuses)).toEqual(['200', '429']);
    // While it is estimated, nothing holds the two to a common account.
    expect(ratio(tally)).toBeGreaterThan(leastOf(tally));
    expect(ratio(tally)).toBeLessThan(1.07);
    for (const lines of [stack.lines('edge'), second.lines]) {
      expect(logged(lines, 'rate limits are estimated: no source of leases answers')).toBe(1);
      expect(logged(lines, 'rate limits are shared again')).toBe(1);
    }
  });

  test('and the one goes on with all of it when the other is killed', async () => {
    const { token } = await tenantWith(stack, { read_rate: RATE, read_burst: BURST });
    const third = await startEdge(stack);
    let alive = true;
    const kill = setTimeout(() => {
      alive = false;
      process.kill(third.pid(), 'SIGKILL');
    }, 4000);
    const url = `${third.url}/v1/tenant?select=id`;
    const tally = await overload([both()[0] as string, url], {
      token,
      seconds: 10,
      active: (asked) => asked !== url || alive,
    });
    clearTimeout(kill);
    await third.stop();
    const { 200: allowed, 429: refused, ...others } = tally.statuses;
    expect([(allowed ?? 0) > 0, (refused ?? 0) > 0]).toEqual([true, true]);
    // Only what the dead edge had in hand failed.
    expect(Object.keys(others)).toEqual(others[0] ? ['0'] : []);
    expect(ratio(tally)).toBeGreaterThan(leastOf(tally));
    expect(ratio(tally)).toBeLessThan(1.02);
  });
});

const redisServer = ['redis-server', 'valkey-server'].find((name) => {
  try {
    execFileSync(name, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
});

describe.skipIf(!redisServer)(
  `with ${redisServer ?? 'Redis (skipped: neither redis-server nor valkey-server is on the PATH)'}`,
  () => {
    test('two edges share the limit through it, and through PostgreSQL while it is gone', async () => {
      const port = await freePort();
      const directory = mkdtempSync(path.join(tmpdir(), 'rowhouse-redis-'));
      const start = () =>
        spawn(
          redisServer as string,
          ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', ''],
          { stdio: 'ignore' },
        );
      let redis = start();
      const env = { REDIS_URL: `redis://127.0.0.1:${port}` };
      const edges: SecondEdge[] = [];
      try {
        edges.push(await startEdge(stack, env), await startEdge(stack, env));
        const urls = edges.map(({ url }) => `${url}/v1/tenant?select=id`);
        const first = await tenantWith(stack, { read_rate: 100, read_burst: 100 });
        const shared = await overload(urls, { token: first.token, seconds: 5 });
        expect(Object.keys(shared.statuses)).toEqual(['200', '429']);
        expect((shared.statuses[200] ?? 0) / (100 * shared.seconds + 100)).toBeGreaterThan(leastOf(shared));
        expect((shared.statuses[200] ?? 0) / (100 * shared.seconds + 100)).toBeLessThan(1.03);
        const inDatabase = 'select from metering.rate_buckets where tenant_id = $1';
        expect((await stack.admin.query(inDatabase, [first.id])).rowCount).toBe(0);

        const { id, token } = await tenantWith(stack, { read_rate: 100, read_burst: 100 });
        const kill = setTimeout(() => redis.kill('SIGKILL'), 2000);
        const restart = setTimeout(() => {
          redis = start();
        }, 5000);
        const tally = await overload(urls, { token, seconds: 8 });
        clearTimeout(kill);
        clearTimeout(restart);
        expect(Object.keys(tally.statuses)).toEqual(['200', '429']);
        expect((tally.statuses[200] ?? 0) / (100 * tally.seconds + 100)).toBeGreaterThan(leastOf(tally));
        expect((tally.statuses[200] ?? 0) / (100 * tally.seconds + 100)).toBeLessThan(1.07);
        expect((await stack.admin.query(inDatabase, [id])).rowCount).toBe(1);
        for (const { lines } of edges) {
          expect(logged(lines, 'rate limits are leased elsewhere')).toBe(1);
          await until(
            () => logged(lines, 'rate limits are shared again'),
            (times) => times === 1,
          );
          expect(logged(lines, 'rate limits are shared again')).toBe(1);
          expect(logged(lines, 'rate limits are estimated: no source of leases answers')).toBe(0);
        }
      } finally {
        await Promise.all(edges.map((edge) => edge.stop()));
        redis.kill('SIGKILL');
        rmSync(directory, { recursive: true, force: true });
      }
    });
  },
);
