import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pino from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { findPostgrest } from '../../functions/stack/binaries.ts';
import { type Child, createChild } from '../../functions/stack/child.ts';
import { freePort } from '../../functions/stack/ports.ts';
import { postgrestChild } from '../../functions/stack/postgrest.ts';
import { until } from '../../functions/stack/until.ts';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { sendTo } from './raw-http.ts';

// Several PostgRESTs behind one edge. Each says its name: v1.pool_name() answers with a setting of its configuration.

const CHECK_MS = 100;
const LAG_MS = 1500;

let stack: TestStack;
let directory: string;
let acme: string;
let globex: string;
const others: Child[] = [];

interface Other {
  url: string;
  child: Child;
  start(): Promise<void>;
}

async function openPostgrest(name: string, onSocket = false): Promise<Other> {
  const cluster = inject('cluster');
  if ('failure' in cluster) throw new Error(cluster.failure);
  const port = await freePort();
  const socket = path.join(directory, `${name}.sock`);
  const spec = postgrestChild({
    name,
    binary: findPostgrest(process.env.POSTGREST_BIN),
    configuration: path.join(directory, `${name}.conf`),
    port,
    adminPort: await freePort(),
    databaseUrl: stack.database.authenticator,
    socketDirectory: cluster.socketDirectory ?? undefined,
    poolSize: 2,
    settings: { 'app.settings.pool': name, ...(onSocket ? { 'server-unix-socket': socket } : {}) },
  });
  const other: Other = {
    url: onSocket ? `unix:${socket}` : `http://127.0.0.1:${port}`,
    child: undefined as never,
    async start() {
      other.child = createChild(spec, { log: pino({ level: 'silent' }), restart: false, onLine: () => {} });
      others.push(other.child);
      await other.child.start();
    },
  };
  await other.start();
  return other;
}

const kill = ({ child }: Other) => process.kill(child.pid() as number, 'SIGKILL');

/** Replaces the map, and the pool of each tenant; then waits until the edge follows. */
async function setPools(pools: Record<string, { kind: string; url: string }>, assigned: Record<string, string> = {}) {
  await stack.migrator.query('begin; delete from tenancy.pools; delete from tenancy.tenant_settings; commit');
  for (const [name, { kind, url }] of Object.entries(pools)) {
    await stack.migrator.query('insert into tenancy.pools (name, kind, url) values ($1, $2, $3)', [name, kind, url]);
  }
  for (const [tenant, pool] of Object.entries(assigned)) {
    await stack.migrator.query('insert into tenancy.tenant_settings (tenant_id, pool) values ($1, $2)', [tenant, pool]);
  }
}

const ask = (token: string, options: Parameters<typeof http>[1] = {}) =>
  http<unknown>(`${stack.edge}/v1/rpc/pool_name`, { token, ...options });

/** The pool that answers. */
async function poolOf(token: string, options: Parameters<typeof http>[1] = {}): Promise<unknown> {
  const { status, body } = await ask(token, options);
  return status === 200 ? body : status;
}

/** For hooks, where `expect.poll` is not. */
async function servedBy(pool: string): Promise<void> {
  const served = await until(async () => (await poolOf(acme)) === pool, { timeoutMs: 20_000 });
  if (!served) throw new Error(`the edge did not come to ask ${pool}`);
}

const says = (text: string, pool: string) => () =>
  stack.lines('edge').filter((line) => line.includes(`"msg":"${text}"`) && line.includes(`"pool":"${pool}"`)).length;

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'rowhouse-pools-'));
  stack = await createTestStack({
    edge: true,
    env: { POOL_CHECK_MS: String(CHECK_MS), POOL_REPLICA_LAG_MS: String(LAG_MS) },
  });
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  acme = await stack.token({ tenant: 't_acme' });
  globex = await stack.token({ tenant: 't_globex' });
  await stack.admin.query(`
    create function v1.pool_name() returns text language sql stable
      return coalesce(current_setting('app.settings.pool', true), 'default');
    grant execute on function v1.pool_name() to tenant_user;
    notify pgrst, 'reload schema'`);
  // What is limited here is not the question.
  await stack.migrator.query(
    `update tenancy.plans set read_rate = 1e6, read_burst = 1e6, write_rate = 1e6, write_burst = 1e6,
       expensive_rate = 1e6, expensive_burst = 1e6, request_concurrency = 64`,
  );
  await servedBy('default');
});

afterAll(async () => {
  await Promise.all(others.map((child) => child.stop(true)));
  await stack?.stop();
  rmSync(directory, { recursive: true, force: true });
});

describe('a dedicated pool', () => {
  let dedicated: Other;

  beforeAll(async () => {
    dedicated = await openPostgrest('large');
    await setPools({ large: { kind: 'dedicated', url: dedicated.url } }, { t_acme: 'large' });
  });

  test('serves the tenant that is assigned to it, and no other, without a restart of the edge', async () => {
    await expect.poll(() => poolOf(acme), { timeout: 5000 }).toBe('large');
    expect(await poolOf(acme, { body: {} })).toBe('large');
    expect([await poolOf(globex), await poolOf(globex, { body: {} })]).toEqual(['default', 'default']);
  });

  test('serves the tier that is assigned to it', async () => {
    await stack.migrator.query(`update tenancy.tenants set tier = 'enterprise' where id = 't_globex'`);
    await stack.migrator.query(`update tenancy.plans set pool = 'large' where tier = 'enterprise'`);
    await expect.poll(() => poolOf(globex), { timeout: 5000 }).toBe('large');
    await stack.migrator.query(`update tenancy.plans set pool = null`);
    await expect.poll(() => poolOf(globex), { timeout: 5000 }).toBe('default');
  });

  test('is replaced by the shared one without a failed request when it is killed, and comes back', async () => {
    const breaks = says('a pool does not answer', 'large');
    const resets = says('a pool answers again', 'large');
    const answers = new Map<unknown, number>();
    let asking = true;
    const clients = Array.from({ length: 4 }, async () => {
      while (asking) {
        const answer = await poolOf(acme);
        answers.set(answer, (answers.get(answer) ?? 0) + 1);
      }
    });
    try {
      await expect.poll(() => answers.get('large') ?? 0).toBeGreaterThan(20);
      kill(dedicated);
      await expect.poll(() => answers.get('default') ?? 0).toBeGreaterThan(50);
      expect(await poolOf(acme, { body: {} })).toBe('default');
      await expect.poll(breaks).toBe(1);
      await dedicated.start();
      await expect.poll(resets).toBe(1);
      const before = answers.get('large') ?? 0;
      await expect.poll(() => answers.get('large') ?? 0).toBeGreaterThan(before + 20);
    } finally {
      asking = false;
      await Promise.all(clients);
    }
    expect([...answers.keys()].sort()).toEqual(['default', 'large']);
  });

  test('is left, and its connections are closed, when it is taken out of the map', async () => {
    expect(await poolOf(acme)).toBe('large');
    await stack.migrator.query(`update tenancy.pools set enabled = false`);
    await expect.poll(() => poolOf(acme), { timeout: 5000 }).toBe('default');
    await stack.migrator.query(`update tenancy.pools set enabled = true`);
    await expect.poll(() => poolOf(acme), { timeout: 5000 }).toBe('large');
  });

  test('finishes what it was asked before it was taken out of the map', async () => {
    await stack.admin.query(`
      create function v1.nap() returns text language plpgsql stable as
        $$ begin perform pg_sleep(1.5); return current_setting('app.settings.pool', true); end $$;
      grant execute on function v1.nap() to tenant_user;
      notify pgrst, 'reload schema'`);
    const nap = () => http(`${stack.edge}/v1/rpc/nap`, { token: acme });
    await expect.poll(async () => (await nap()).status, { timeout: 20_000 }).toBe(200);
    const napping = nap();
    await new Promise((resolve) => setTimeout(resolve, 200));
    await stack.migrator.query(`update tenancy.pools set enabled = false`);
    await expect.poll(() => poolOf(acme), { timeout: 5000 }).toBe('default');
    expect(await napping).toMatchObject({ status: 200, body: 'large' });
  });
});

describe('a replica', () => {
  let replica: Other;
  const file = { name: 'a.csv', content_type: 'text/csv', size: 1 };

  beforeAll(async () => {
    replica = await openPostgrest('replica', true);
    await setPools({ replica: { kind: 'replica', url: replica.url } });
  });

  beforeEach(() => servedBy('replica'));

  test('gets GET and HEAD of every tenant, and nothing else', async () => {
    expect(await poolOf(globex)).toBe('replica');
    for (let nth = 0; nth < 5; nth++) expect(await poolOf(acme, { body: {} })).toBe('default');
  });

  test('is not asked by a tenant that has just written, and is asked again later', async () => {
    const { status } = await http(`${stack.edge}/v1/files`, { token: acme, body: file });
    expect(status).toBe(201);
    const since = performance.now();
    expect([await poolOf(acme), await poolOf(globex)]).toEqual(['default', 'replica']);
    await expect.poll(() => poolOf(acme), { timeout: 10_000 }).toBe('replica');
    expect(performance.now() - since).toBeGreaterThan(LAG_MS - 300);
  });

  test('is not asked by a tenant for which somebody else has written', async () => {
    const { status } = await http(`${stack.postgrest}/files`, { token: acme, body: file });
    expect(status).toBe(201);
    await expect.poll(() => poolOf(acme), { timeout: LAG_MS - 200, interval: 20 }).toBe('default');
    expect(await poolOf(globex)).toBe('replica');
  });

  test('that is gone leaves reads to where writes go', async () => {
    kill(replica);
    for (let nth = 0; nth < 10; nth++) expect(await poolOf(globex)).toBe('default');
    await replica.start();
    await expect.poll(() => poolOf(globex), { timeout: 10_000 }).toBe('replica');
  });
});

describe('several shared pools', () => {
  test('take turns while both are busy, and replace each other', async () => {
    const [one, two] = await Promise.all([openPostgrest('one'), openPostgrest('two')]);
    await setPools({ one: { kind: 'shared', url: one.url }, two: { kind: 'shared', url: two.url } });
    const burst = async () => new Set(await Promise.all(Array.from({ length: 16 }, () => poolOf(acme))));
    await expect.poll(burst, { timeout: 5000 }).toEqual(new Set(['one', 'two']));
    kill(one);
    expect(await burst()).toEqual(new Set(['two']));
  });

  test('that are all gone are 503 with Retry-After, and asked again at once', async () => {
    const pool = await openPostgrest('last');
    await setPools({ last: { kind: 'shared', url: pool.url } });
    await expect.poll(() => poolOf(acme), { timeout: 5000 }).toBe('last');
    kill(pool);
    for (let nth = 0; nth < 8; nth++) {
      const { status, headers, body } = await ask(acme, nth % 2 === 0 ? {} : { body: {} });
      expect([status, headers.get('retry-after')]).toEqual([503, '1']);
      expect(body).toMatchObject({ code: 'upstream_unavailable' });
    }
    expect((await http(`${stack.edge}/readyz`)).status).toBe(503);
    await pool.start();
    expect(await poolOf(acme)).toBe('last');
    // Its last word is kept for a moment.
    await expect.poll(async () => (await http(`${stack.edge}/readyz`)).status).toBe(200);
  });
});

describe('a pool that takes requests and does not answer', () => {
  let silent: Server;

  afterEach(() => silent.close());

  test('is found out by probes, and then left', async () => {
    silent = createServer(() => {});
    const port = await freePort();
    await new Promise<void>((resolve) => silent.listen(port, '127.0.0.1', resolve));
    await setPools({ silent: { kind: 'dedicated', url: `http://127.0.0.1:${port}` } }, { t_acme: 'silent' });
    await expect.poll(says('a pool does not answer', 'silent'), { timeout: 20_000 }).toBe(1);
    expect(await poolOf(acme)).toBe('default');
    expect(await poolOf(acme, { body: {} })).toBe('default');
  });
});

describe('a pool that takes a request and hangs up', () => {
  let asked: string[];
  let hangsUp: HttpServer;

  beforeAll(async () => {
    asked = [];
    hangsUp = createHttpServer(({ method = '', socket, url }, response) => {
      if (method === 'HEAD') return response.end();
      asked.push(`${method} ${url}`);
      return socket.destroy();
    });
    await new Promise<void>((resolve) => hangsUp.listen(0, '127.0.0.1', resolve));
    const { port } = hangsUp.address() as AddressInfo;
    await setPools({ gone: { kind: 'dedicated', url: `http://127.0.0.1:${port}` } }, { t_acme: 'gone' });
    await until(async () => (await poolOf(acme)) === 'default' && asked.length > 0, { timeoutMs: 20_000 });
  });

  afterAll(() => hangsUp.close());

  test('is not sent a write again, nor is another: it may have been carried out', async () => {
    asked.length = 0;
    const { status, body } = await http(`${stack.edge}/v1/files`, {
      token: acme,
      body: { name: 'once.csv', content_type: 'text/csv', size: 1 },
    });
    expect([status, body]).toMatchObject([503, { code: 'upstream_unavailable' }]);
    expect(asked).toEqual(['POST /files']);
    const { rows } = await stack.admin.query(`select from app.files where name = 'once.csv'`);
    expect(rows).toHaveLength(0);
  });

  test('has its reads asked elsewhere', async () => {
    asked.length = 0;
    expect(await poolOf(acme)).toBe('default');
    expect(asked).toEqual(['GET /rpc/pool_name']);
  });
});

test('a filter that PostgREST repeats three times as long in the head of its answer harms no pool', async () => {
  await setPools({});
  await servedBy('default');
  const breaks = says('a pool does not answer', 'default');
  const before = breaks();
  const filter = `/v1/files?select=id&limit=1&name=eq.${','.repeat(5600)}`;
  for (let nth = 0; nth < 4; nth++) {
    const answer = await sendTo(stack.edge, { path: `${filter}${nth}`, headers: { authorization: `Bearer ${acme}` } });
    expect([answer.status, answer.body]).toEqual([200, '[]']);
    expect(answer.headers['content-location']?.length).toBeGreaterThan(16 * 1024);
  }
  expect([breaks(), await poolOf(globex)]).toEqual([before, 'default']);
});

describe('a large answer', () => {
  test('arrives whole, and one that nobody reads any more is given up', async () => {
    await setPools({});
    await stack.admin.query(`
      create function v1.big(lines int) returns text language sql stable return repeat(repeat('x', 1024), lines);
      grant execute on function v1.big(int) to tenant_user;
      notify pgrst, 'reload schema'`);
    const big = (lines: number) => `${stack.edge}/v1/rpc/big?lines=${lines}`;
    const headers = { authorization: `Bearer ${acme}` };
    await expect.poll(async () => (await fetch(big(1), { headers })).status, { timeout: 10_000 }).toBe(200);
    const whole = await (await fetch(big(8192), { headers })).text();
    expect(whole.length).toBe(8192 * 1024 + 2);
    for (let nth = 0; nth < 5; nth++) {
      const left = new AbortController();
      const { body } = await fetch(big(8192), { headers, signal: left.signal });
      await body?.getReader().read();
      left.abort();
    }
    expect((await (await fetch(big(8192), { headers })).text()).length).toBe(8192 * 1024 + 2);
  });
});
