import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { fastify } from 'fastify';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createPool } from '../../functions/database.ts';
import { serveHealth } from '../../functions/edge/health.ts';
import { http } from '../support/http.ts';
import { promptly } from '../support/promptly.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { tenantWith } from './limited-tenants.ts';
import { sendRaw, sendTo } from './raw-http.ts';
import { type SecondEdge, startEdge } from './second-edge.ts';

// What it costs, and whom, when somebody asks who has no good token, or asks for somebody else's. Each test has an address of its own.

const BURST = 5;
const BODY = 8192;

let stack: TestStack;
let edge: SecondEdge;
/** Calls since it was asked last. */
let exchanges: () => Promise<number>;
let hostLookUps: () => Promise<number>;
let settingsReads: () => Promise<number>;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  exchanges = await countCalls('auth.exchange_api_key', 'text, inet, text[], interval', 'json');
  hostLookUps = await countCalls('tenancy.tenant_of_host', 'text, text', 'text');
  settingsReads = await countCalls('tenancy.settings_of', 'text', 'jsonb');
  edge = await startEdge(stack, {
    EDGE_TENANT_DOMAIN: 'rowhouse.test',
    EDGE_ADDRESS_RATE: '0.1',
    EDGE_ADDRESS_BURST: String(BURST),
    EDGE_BODY_BYTES: String(BODY),
    EDGE_BODIES_BYTES: String(4 * BODY),
  });
});

afterAll(async () => {
  await edge?.stop();
  await stack?.stop();
});

/** Puts a function that counts its calls in front of one of the database's, for good: sequences know no rollback. */
async function countCalls(name: string, parameters: string, returns: string): Promise<() => Promise<number>> {
  const [schema, plain] = name.split('.');
  const passed = Array.from(parameters.split(','), (_, nth) => `$${nth + 1}`).join(', ');
  await stack.admin.query(`
    create sequence ${name}_calls minvalue 0 start 0;
    alter function ${name}(${parameters}) rename to counted_${plain};
    create function ${name}(${parameters}) returns ${returns} language plpgsql volatile security definer as $$
    begin
      perform nextval('${name}_calls');
      return ${schema}.counted_${plain}(${passed});
    end $$;
    grant execute on function ${name}(${parameters}) to rowhouse_edge`);
  return async () => {
    const { rows } = await stack.admin.query<{ calls: number }>(`select nextval('${name}_calls')::integer as calls`);
    await stack.admin.query(`select setval('${name}_calls', 0, false)`);
    return rows[0]?.calls ?? 0;
  };
}

let address = 1;
const anotherAddress = () => `127.0.1.${++address}`;

interface Ask {
  from: string;
  token?: string;
  method?: string;
  path?: string;
  headers?: Record<string, string>;
}

async function ask({ from, token, method = 'GET', path = '/v1/tenant?select=id', headers = {} }: Ask) {
  const answer = await sendTo(edge.url, {
    from,
    method,
    path,
    headers: { host: 'edge', ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
  });
  const problem = answer.headers['content-type'] === 'application/problem+json' && method !== 'HEAD';
  return {
    status: answer.status,
    code: problem ? (JSON.parse(answer.body) as { code: string }).code : undefined,
    left: answer.headers.ratelimit as string | undefined,
    headers: answer.headers,
  };
}

/** Statuses of so many requests, one after the other. */
async function statuses(count: number, what: (nth: number) => Ask): Promise<number[]> {
  const seen: number[] = [];
  for (let nth = 0; nth < count; nth++) seen.push((await ask(what(nth))).status);
  return seen;
}

const randomKey = () => `rh_live_acme_${randomBytes(8).toString('hex')}_${randomBytes(32).toString('hex')}`;

async function make(options: object = {}): Promise<{ id: string; key: string }> {
  const { body } = await http<{ id: string; key: string }>(`${stack.postgrest}/rpc/create_api_key`, {
    token: await stack.token({ tenant: 't_acme' }),
    body: { name: 'a program', ...options },
  });
  return body;
}

const makeKey = async (options: object = {}): Promise<string> => (await make(options)).key;

/** Waits until the edge has heard of each key made so far, and will not ask for it anew: it follows the ledger in its order. */
async function keysAreKnown(): Promise<void> {
  const from = anotherAddress();
  const { id, key } = await make();
  expect((await ask({ from, token: key })).status).toBe(200);
  const token = await stack.token({ tenant: 't_acme' });
  expect((await http(`${stack.postgrest}/rpc/revoke_api_key`, { token, body: { id } })).status).toBe(200);
  await expect.poll(async () => (await ask({ from, token: key })).status, { timeout: 10_000 }).toBe(401);
  await exchanges();
}

describe('API keys that are no good', () => {
  test('are looked up as often as the bucket of their address allows, all at once or one by one', async () => {
    const from = anotherAddress();
    const good = await makeKey();
    await keysAreKnown();
    expect((await ask({ from, token: good })).status, 'a good one costs the address nothing').toBe(200);
    expect(await exchanges()).toBe(1);
    const answers = await Promise.all(Array.from({ length: 40 }, () => ask({ from, token: randomKey() })));
    expect(answers.filter(({ status }) => status === 401).length).toBeLessThanOrEqual(BURST);
    expect(answers.filter(({ status }) => status === 429).length).toBeGreaterThanOrEqual(40 - BURST);
    const refused = await ask({ from, token: randomKey() });
    expect(refused).toMatchObject({ status: 429, code: 'rate_limited', left: expect.stringMatching(/^"address";r=0/) });
    const storage = await ask({ from, token: randomKey(), path: '/storage/v1/files/x' });
    expect(storage).toMatchObject({ status: 429, code: 'rate_limited', left: expect.stringMatching(/^"address";r=0/) });
    expect((await ask({ from, token: good })).status, 'nor does it need any of it').toBe(200);
    // The bucket gains one in ten seconds.
    expect(await exchanges()).toBeLessThanOrEqual(BURST + 1);
  });

  test('are looked up once a second each', async () => {
    const unknown = async () => {
      await exchanges();
      return { from: anotherAddress(), token: randomKey() };
    };
    expect(await promptly(1000, unknown, (asked) => statuses(3, () => asked))).toEqual([401, 401, 401]);
    expect(await exchanges()).toBe(1);
  });

  test('or are sent from elsewhere than they may take from their address', async () => {
    const from = anotherAddress();
    const token = await makeKey({ allowed_networks: ['192.0.2.0/24'] });
    expect(await ask({ from, token })).toMatchObject({ status: 403, code: 'address_refused' });
    expect(await statuses(6, () => ({ from, token }))).toEqual([403, 403, 403, 403, 429, 429]);
  });
});

describe('a member who was removed', () => {
  const remove = (id: string) =>
    stack.migrator.query("delete from tenancy.members where tenant_id = $1 and user_id = 'member'", [id]);

  test.each(['GET', 'HEAD'])('does not spend the bucket of the tenant: %s', async (method) => {
    const from = anotherAddress();
    const { id, token: owner } = await tenantWith(stack, { read_rate: 1, read_burst: 20 });
    const token = await stack.token({ tenant: id, role: 'member' });
    expect((await ask({ from, token, method })).status).toBe(200);
    await remove(id);
    await expect.poll(async () => (await ask({ from: anotherAddress(), token, method })).left).toMatch(/^"address"/);
    expect(await statuses(7, () => ({ from, token, method }))).toEqual([403, 403, 403, 403, 403, 429, 429]);
    const served = await ask({ from, token: owner });
    expect(served.status).toBe(200);
    expect(Number(/r=(\d+)/.exec(served.left ?? '')?.[1])).toBeGreaterThanOrEqual(17);
  });

  test('is told the same again, and served with the first request after being let in again', async () => {
    const { id } = await tenantWith(stack);
    const other = await tenantWith(stack);
    const [token, others] = await Promise.all([id, other.id].map((tenant) => stack.token({ tenant, role: 'member' })));
    await remove(id);
    const from = anotherAddress();
    for (let time = 0; time < 3; time++) {
      expect(await ask({ from, token: token as string })).toMatchObject({ status: 403, code: 'membership_required' });
    }
    expect((await ask({ from, token: others as string })).status, 'another tenant').toBe(200);
    await stack.addMember(id, 'member', 'member');
    expect((await ask({ from, token: token as string })).status).toBe(200);
  });

  test('nor do requests that name another tenant than their token, or pass no gate', async () => {
    const { token } = await tenantWith(stack, { read_rate: 1, read_burst: 20 });
    const asks: Partial<Ask>[] = [
      { headers: { 'x-tenant-id': 't_globex' } },
      { headers: { host: 't-globex.rowhouse.test' } },
      { headers: { host: 't-nobody.rowhouse.test' } },
      { headers: { 'x-tenant-id': 't_globex' }, path: '/storage/v1/files/x' },
      { method: 'OPTIONS' },
    ];
    const from = anotherAddress();
    for (const one of asks) {
      expect((await ask({ from, token, ...one })).left).toMatch(/^"address"/);
    }
    for (const one of asks) expect((await ask({ from, token, ...one })).status).toBe(429);
    expect((await ask({ from, token })).left).toMatch(/^"read";r=19/);
  });
});

test('a tenant that was deleted is not looked up for its tokens, for which the address pays', async () => {
  const { id, token } = await tenantWith(stack);
  const from = anotherAddress();
  expect((await ask({ from, token })).status).toBe(200);
  await stack.migrator.query('delete from tenancy.tenants where id = $1', [id]);
  await expect.poll(async () => (await ask({ from: anotherAddress(), token })).left).toMatch(/^"address"/);
  await settingsReads();
  expect(await statuses(7, () => ({ from, token }))).toEqual([404, 404, 404, 404, 404, 429, 429]);
  expect(await settingsReads()).toBeLessThanOrEqual(1);
});

describe('hosts', () => {
  const preflight = { origin: 'https://evil.example.com', 'access-control-request-method': 'GET' };

  test('of tenants and of nobody are the same to whoever has no token', async () => {
    for (const headers of [preflight, { origin: 'https://evil.example.com' }]) {
      const method = headers === preflight ? 'OPTIONS' : 'GET';
      const seen = [];
      for (const host of ['t-acme.rowhouse.test', 't-nobody.rowhouse.test', 'a.b.rowhouse.test', 'edge']) {
        const path = method === 'OPTIONS' ? '/v1/files' : '/healthz';
        const { status, headers: got } = await ask({
          from: anotherAddress(),
          method,
          path,
          headers: { ...headers, host },
        });
        seen.push({ status, cors: got['access-control-allow-origin'], vary: got.vary });
      }
      expect(seen[0]).toMatchObject({ status: method === 'OPTIONS' ? 204 : 200, cors: undefined });
      expect(seen).toEqual(Array(4).fill(seen[0]));
    }
  });

  test('are looked up as often as the bucket of the address allows, and known ones for nothing', async () => {
    const from = anotherAddress();
    const known = { ...preflight, host: 't-globex.rowhouse.test' };
    await ask({ from: anotherAddress(), method: 'OPTIONS', headers: known });
    const random = () => ({
      from,
      method: 'OPTIONS',
      headers: { ...preflight, host: `h${randomBytes(6).toString('hex')}.rowhouse.test` },
    });
    await hostLookUps();
    expect(await statuses(8, random)).toEqual([204, 204, 204, 204, 204, 429, 429, 429]);
    expect(await hostLookUps()).toBe(BURST);
    expect((await ask({ from, method: 'OPTIONS', headers: known })).status).toBe(204);
  });

  test('are not looked up for a tenant whose limit is used up', async () => {
    const { token } = await tenantWith(stack, { read_rate: 1, read_burst: 2 });
    const from = anotherAddress();
    const random = () => ({ from, token, headers: { host: `h${randomBytes(6).toString('hex')}.example.test` } });
    await hostLookUps();
    const seen = await Promise.all(Array.from({ length: 20 }, () => ask(random())));
    expect(seen.filter(({ status }) => status === 429).length).toBeGreaterThanOrEqual(16);
    expect(await hostLookUps()).toBeLessThanOrEqual(4);
  });
});

describe('without a token', () => {
  test.each(['/v1/files', '/v1/nothing', '/admin/v1/tenants'])('OPTIONS tells nothing: %s', async (path) => {
    expect(await ask({ from: anotherAddress(), method: 'OPTIONS', path })).toMatchObject({
      status: 401,
      code: 'token_required',
    });
  });

  test.each([
    ['/v1/files', 401],
    ['/nowhere', 404],
    ['/auth/v1/nowhere', 404],
    ['/healthz', 404],
  ])('no body is taken in: %s', async (path, status) => {
    const head = ['Host: edge', 'Content-Type: application/json', `Content-Length: ${BODY - 10}`, '', ''].join('\r\n');
    const { statuses: got } = await sendRaw(edge.url, [`POST ${path} HTTP/1.1\r\n${head}`, '{'], { patienceMs: 500 });
    // 127.0.0.1's bucket is used by nothing else here.
    expect(got).toEqual([status]);
  });
});

describe('bodies on their way', () => {
  const open: Socket[] = [];
  const begin = (token: string, bytes: number): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = connect(Number(new URL(edge.url).port), '127.0.0.1', () => {
        const head = [
          'POST /v1/files HTTP/1.1',
          'Host: edge',
          `Authorization: Bearer ${token}`,
          'Content-Type: application/json',
          `Content-Length: ${BODY}`,
        ];
        socket.write(`${head.join('\r\n')}\r\n\r\n${' '.repeat(bytes)}`, () => resolve(socket));
      });
      socket.on('error', reject);
      open.push(socket);
    });
  const post = (token: string, size = 100) =>
    http<{ code?: string }>(`${edge.url}/v1/files`, {
      token,
      body: JSON.stringify({ name: 'a', content_type: 'text/csv', size: 1 }).padEnd(size),
      headers: { 'content-type': 'application/json' },
    });

  test('have a room of one size, of which a tenant has a quarter', async () => {
    const [acme, globex] = await Promise.all(['t_acme', 't_globex'].map((tenant) => stack.token({ tenant })));
    expect((await post(acme as string)).status).toBe(201);
    try {
      let isFull = false;
      for (let nth = 0; nth < 5; nth++) {
        const socket = await begin(acme as string, BODY / 4 - 10);
        socket.on('data', (answer) => {
          isFull ||= String(answer).startsWith('HTTP/1.1 503 ');
        });
      }
      await expect.poll(() => isFull, { message: 'the fifth of four quarters' }).toBe(true);
      const refused = await post(acme as string);
      expect([refused.status, refused.body.code, refused.headers.get('retry-after')]).toEqual([503, 'overloaded', '1']);
      expect((await post(globex as string, BODY)).status, 'another tenant').toBe(201);
    } finally {
      for (const socket of open) socket.destroy();
    }
    await expect.poll(async () => (await post(acme as string, BODY)).status).toBe(201);
    // Nothing of it stays taken.
    for (let nth = 0; nth < 5; nth++) expect((await post(acme as string, BODY)).status).toBe(201);
  });
});

test('/readyz looks once for all who ask within a quarter of a second', async () => {
  const pool = createPool(stack.database.edge, 'test-edge');
  let asked = 0;
  const server = fastify();
  serveHealth(
    server,
    new Proxy(pool, {
      get(target, name) {
        if (name === 'query') asked++;
        return Reflect.get(target, name, target);
      },
    }),
    async () => {},
    () => false,
  );
  const ready = async () => (await server.inject('/readyz')).statusCode;
  try {
    expect(await Promise.all(Array.from({ length: 20 }, ready))).toEqual(Array(20).fill(200));
    expect([await ready(), asked]).toEqual([200, 1]);
    await expect.poll(async () => [await ready(), asked]).toEqual([200, 2]);
    await pool.end();
    await expect.poll(ready).not.toBe(200);
  } finally {
    await server.close();
    if (!pool.ended) await pool.end();
  }
});
