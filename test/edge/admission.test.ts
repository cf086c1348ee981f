import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type HttpResponse, http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { changeSettings, type LimitedTenant, tenantWith } from './limited-tenants.ts';
import { type SecondEdge, startEdge } from './second-edge.ts';

let stack: TestStack;
let quick: LimitedTenant;

/** Sleeps, and says so: the slowest query that there is without any work. */
const SLEEPER = `
  create function v1.sleep(seconds double precision) returns text
  language sql volatile security invoker set search_path = ''
  begin atomic select 'slept ' || seconds from (select pg_catalog.pg_sleep(seconds)) as slept; end;
  grant execute on function v1.sleep(double precision) to tenant_user`;

beforeAll(async () => {
  stack = await createTestStack({ edge: true });
  await stack.migrator.query(SLEEPER);
  await stack.migrator.query(`notify pgrst, 'reload schema'`);
  quick = await tenantWith(stack);
  await until(async () => (await sleep(quick, 0)).status === 200);
});

afterAll(() => stack?.stop());

function sleep(
  { token }: LimitedTenant,
  seconds: number,
  edge = stack.edge,
): Promise<HttpResponse<{ code?: string; detail?: string }>> {
  return http(`${edge}/v1/rpc/sleep`, { token, body: { seconds } });
}

async function until(ask: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  const end = performance.now() + ms;
  while (!(await ask())) {
    if (performance.now() > end) throw new Error('it did not come to pass');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const sleeping = async () => {
  const { rows } = await stack.admin.query<{ count: number }>(
    `select count(*)::integer as count from pg_stat_activity
     where datname = current_database() and state = 'active' and wait_event = 'PgSleep'`,
  );
  return rows[0]?.count ?? 0;
};

/** Ends what sleeps, so that no test depends on how much a machine gets done meanwhile. */
const wake = () =>
  stack.admin.query(
    `select pg_cancel_backend(pid) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`,
  );

/** A request written by hand, so that its connection can be closed at any moment. */
function rawSleep({ token }: LimitedTenant, seconds: number) {
  const socket = connect(Number(new URL(stack.edge).port), '127.0.0.1');
  const body = JSON.stringify({ seconds });
  const head = [
    'POST /v1/rpc/sleep HTTP/1.1',
    'Host: edge',
    `Authorization: Bearer ${token}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
  ];
  socket.on('error', () => {});
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  return socket;
}

/** The status of a request that does not wait; null where it would have to. */
async function impatient({ token }: LimitedTenant): Promise<number | null> {
  const answer = await fetch(`${stack.edge}/v1/tenant?select=id`, {
    headers: { authorization: `Bearer ${token}`, 'cache-control': 'no-cache' },
    signal: AbortSignal.timeout(100),
  }).catch(() => null);
  await answer?.body?.cancel();
  return answer?.status ?? null;
}

describe('the slow queries of one tenant', () => {
  test('take its own places alone, and do not hold up another tenant', async () => {
    const slow = await tenantWith(stack, { request_concurrency: 2, queue_length: 3, queue_wait: '5 s' });
    const answers = Array.from({ length: 5 }, () => sleep(slow, 0.5));
    await until(async () => (await sleeping()) > 0);
    const took: number[] = [];
    for (let nth = 0; nth < 10; nth++) {
      const since = performance.now();
      expect((await http(`${stack.edge}/v1/tenant?select=id`, { token: quick.token })).status).toBe(200);
      took.push(performance.now() - since);
      expect(await sleeping()).toBeLessThanOrEqual(2);
    }
    expect(took.sort((a, b) => a - b)[5], 'the median of ten quick ones, in ms').toBeLessThan(250);
    expect((await Promise.all(answers)).map(({ status, body }) => [status, body])).toEqual(
      Array(5).fill([200, 'slept 0.5']),
    );
  });

  test('that find the queue full are shed with a 503 that says when to come back', async () => {
    const slow = await tenantWith(stack, { request_concurrency: 2, queue_length: 3, queue_wait: '5 s' });
    const all = await Promise.all(Array.from({ length: 8 }, () => sleep(slow, 1)));
    const shed = all.filter(({ status }) => status === 503);
    expect(all.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 200, 503, 503, 503]);
    for (const { headers, body } of shed) {
      expect([headers.get('retry-after'), headers.get('content-type')]).toEqual(['1', 'application/problem+json']);
      expect(body).toEqual({
        type: 'https://rowhouse.dev/errors/overloaded',
        title: 'Too many requests are waiting already',
        status: 503,
        detail: 'At most 2 requests are in flight at once, and 3 wait.',
        instance: '/v1/rpc/sleep',
        code: 'overloaded',
        message: 'Too many requests are waiting already',
        details: 'At most 2 requests are in flight at once, and 3 wait.',
        hint: 'Send fewer requests at once.',
      });
    }
  });

  test('that wait too long are shed as well, and leave the queue', async () => {
    const slow = await tenantWith(stack, { request_concurrency: 1, queue_length: 10, queue_wait: '200 ms' });
    const first = sleep(slow, 2);
    await until(async () => (await sleeping()) > 0);
    const second = await sleep(slow, 0);
    expect([second.status, second.body.code, second.body.detail]).toEqual([
      503,
      'overloaded',
      'The request waited 200 ms for its turn.',
    ]);
    expect((await first).status).toBe(200);
    expect((await sleep(slow, 0)).status).toBe(200);
  });

  test('leave the queue when their client goes, and are never run', async () => {
    const slow = await tenantWith(stack, {
      request_concurrency: 1,
      queue_length: 2,
      queue_wait: '30 s',
      statement_timeout: '60 s',
    });
    const first = sleep(slow, 50);
    await until(async () => (await sleeping()) === 1);
    const waiting = [rawSleep(slow, 33), rawSleep(slow, 33)];
    await until(async () => {
      if ((await impatient(slow)) === 503) return true;
      // The impatient one may have been there before the second of them, which was then sent away.
      waiting.push(rawSleep(slow, 33));
      return false;
    });
    for (const socket of waiting) socket.destroy();
    await until(async () => (await impatient(slow)) === null);
    await wake();
    expect((await first).status, 'the one that was woken').toBe(503);
    expect((await sleep(slow, 0)).status).toBe(200);
    expect(await sleeping()).toBe(0);
  });

  test('give their places back when the client goes while they run', async () => {
    const slow = await tenantWith(stack, { request_concurrency: 1, queue_length: 2, queue_wait: '5 s' });
    const socket = rawSleep(slow, 0.8);
    await until(async () => (await sleeping()) === 1);
    socket.destroy();
    expect((await sleep(slow, 0)).status).toBe(200);
    expect((await sleep(slow, 0)).status).toBe(200);
  });
});

test('a pool that is full goes round the tenants that wait', async () => {
  const slow = await tenantWith(stack, { request_concurrency: 2, queue_length: 50, queue_wait: '20 s' });
  const edge: SecondEdge = await startEdge(stack, { EDGE_MAX_IN_FLIGHT: '2' });
  try {
    const order: string[] = [];
    const answers = Array.from({ length: 12 }, () => sleep(slow, 0.2, edge.url).finally(() => order.push('slow')));
    await until(async () => (await sleeping()) === 2);
    expect((await sleep(quick, 0, edge.url).finally(() => order.push('quick'))).status).toBe(200);
    expect((await Promise.all(answers)).every(({ status }) => status === 200)).toBe(true);
    // It came when ten were waiting, and had the first or second place that was free.
    expect(order.indexOf('quick')).toBeLessThanOrEqual(5);
  } finally {
    await edge.stop();
  }
});

describe('a statement', () => {
  test('may run as long as its tenant’s plan or settings say, through either door', async () => {
    const strict = await tenantWith(stack, { statement_timeout: '300 ms' });
    for (const [url, refused] of [
      [`${stack.edge}/v1/rpc/sleep`, [503, 'database_unavailable']],
      [`${stack.postgrest}/rpc/sleep`, [500, '57014']],
    ] as const) {
      const ask = ({ token }: LimitedTenant, seconds: number) =>
        http<{ code?: string }>(url, { token, body: { seconds } });
      expect((await ask(strict, 0)).status).toBe(200);
      const since = performance.now();
      const { status, body } = await ask(strict, 8);
      expect([status, body.code]).toEqual(refused);
      expect(performance.now() - since).toBeLessThan(5000);
      expect((await ask(quick, 0.6)).status, 'another tenant’s may run longer').toBe(200);
    }
    expect((await sleep(strict, 8)).body.detail).toBe('The statement took too long.');
    await changeSettings(stack, strict.id, { statement_timeout: null });
    expect((await sleep(strict, 0.6)).status, 'the plan’s again').toBe(200);
  });

  test('finds the connection as it was: the timeout ends with its transaction', async () => {
    const strict = await tenantWith(stack, { statement_timeout: '100 ms' });
    const ask = ({ token }: LimitedTenant, seconds: number) =>
      http(`${stack.postgrest}/rpc/sleep`, { token, body: { seconds } });
    await Promise.all(Array.from({ length: 8 }, () => ask(strict, 0)));
    const longer = await Promise.all(Array.from({ length: 8 }, () => ask(quick, 0.3)));
    expect(longer.map(({ status }) => status)).toEqual(Array(8).fill(200));
  });
});
