import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type LimitedTenant, tenantWith } from './limited-tenants.ts';

// Answers that are larger than what is kept of one, to clients that go before they have read any of it.

const PLACES = 2;
const ROWS = 4000;
/** More than the tenant has places, and than the edge has connections to PostgREST. */
const TIMES = 70;

let stack: TestStack;
let tenant: LimitedTenant;

beforeAll(async () => {
  stack = await createTestStack({ edge: true, env: { POSTGREST_CONNECTIONS: '4' } });
  tenant = await tenantWith(stack, {
    request_concurrency: PLACES,
    read_rate: 1e6,
    read_burst: 1e6,
    write_rate: 1e6,
    write_burst: 1e6,
    queue_wait: '5 s',
  });
  await stack.admin.query(
    `insert into app.files (tenant_id, name, content_type, size, created_by)
     select $1, repeat('x', 200) || n, 'text/csv', 1, 'test' from generate_series(1, ${ROWS}) as n`,
    [tenant.id],
  );
});

afterAll(() => stack?.stop());

/** Sends a request and goes after so many ms. */
async function abandon(head: readonly string[], body: string, ms: number): Promise<void> {
  const socket = connect(Number(new URL(stack.edge).port), '127.0.0.1');
  socket.on('error', () => {});
  const length = body === '' ? [] : ['Content-Type: application/json', `Content-Length: ${body.length}`];
  socket.write(
    [...head, 'Host: edge', `Authorization: Bearer ${tenant.token}`, ...length, '', body].join('\r\n').concat('\r\n'),
  );
  await delay(ms);
  socket.destroy();
}

const places = async () => {
  const path = `${stack.edge}/v1/files?select=id&limit=1`;
  const ask = () => http(path, { token: tenant.token, headers: { 'cache-control': 'no-store' } });
  return (await Promise.all(Array.from({ length: PLACES }, ask))).map(({ status }) => status);
};

test('reads that are given up leave their places and connections to others', async () => {
  expect(await places()).toEqual([200, 200]);
  for (let nth = 0; nth < TIMES; nth++) {
    await abandon([`GET /v1/files?select=*&limit=${ROWS}&offset=${nth} HTTP/1.1`], '', 2 + (nth % 40));
  }
  expect(await places()).toEqual([200, 200]);
});

test('so do writes under an Idempotency-Key', async () => {
  const body = JSON.stringify({ name: 'renamed' });
  for (let nth = 0; nth < TIMES / 5; nth++) {
    const head = `PATCH /v1/files?order=id&limit=1600 HTTP/1.1`;
    const headers = [`Idempotency-Key: ${randomUUID()}`, 'Prefer: return=representation'];
    await abandon([head, ...headers], body, 10 + nth * 5);
  }
  expect(await places()).toEqual([200, 200]);
});
