import { expect, test } from 'vitest';
import { type Endpoint, newEndpoint, putInBuffer, takeOrder } from '../../functions/worker/webhooks/endpoint.ts';
import { askOf, roomOf } from '../../functions/worker/webhooks/read-ahead.ts';
import type { Delivery, Described } from '../../functions/worker/webhooks/store.ts';
import { takeNext } from '../../functions/worker/webhooks/take-next.ts';

// How much a worker reads ahead: by bytes, or one tenant's large events would end it for all.

const described: Described = {
  version: 1,
  generation: 1,
  watermark: 0,
  url: 'https://hooks.example.com/',
  ordering: 'subject',
  rate: null,
  timeoutMs: 15_000,
  signing: ['v1'],
  tenantConcurrency: 64,
  tenantWeight: 1,
  secrets: [],
};

const delivery = (position: number, bytes: number, orderingKey = 'slow'): Delivery => ({
  position,
  attempts: 0,
  failed: 0,
  orderingKey,
  retried: false,
  blocked: false,
  eventId: `evt_${position}`,
  body: 'x'.repeat(bytes),
});

function endpointWith(tenant: string, count: number, bytes: number): Endpoint {
  const endpoint = Object.assign(newEndpoint(tenant, `${tenant}/${count}`), {
    described,
    leased: true,
    wantAt: 0,
    material: {},
    busyKeys: new Set(['slow']),
  });
  for (let position = 1; position <= count; position++) {
    putInBuffer(endpoint, delivery(position, bytes));
    endpoint.known.add(position);
    endpoint.open.add(position);
  }
  return endpoint;
}

test('an endpoint reads on behind a subject that is busy, until it holds 4 MiB', () => {
  expect(askOf(endpointWith('t_acme', 100, 1000), 1)).toBeDefined();
  expect(askOf(endpointWith('t_acme', 100, 50_000), 1)).toBeUndefined();
});

test('an endpoint of large events asks for as many as 4 MiB have', () => {
  expect(askOf(endpointWith('t_acme', 6, 100), 1)?.rows).toBe(32);
  expect(askOf(endpointWith('t_acme', 6, 600_000), 1)?.rows).toBeLessThan(20);
});

test('what is sent, or set aside, makes room', () => {
  const endpoint = endpointWith('t_acme', 100, 50_000);
  takeOrder(endpoint, 'slow');
  expect([endpoint.bufferBytes, askOf(endpoint, 1) === undefined]).toEqual([0, false]);
  const other = endpointWith('t_acme', 100, 50_000);
  other.busyKeys.clear();
  other.described = { ...described, ordering: 'none' };
  const before = other.bufferBytes;
  expect(takeNext(other, 1)?.position).toBe(1);
  expect(other.bufferBytes).toBe(before - 50_000);
});

test('a tenant with many endpoints has 32 MiB for all of them, and another its own', () => {
  const acme = Array.from({ length: 10 }, () => endpointWith('t_acme', 40, 100_000));
  const globex = endpointWith('t_globex', 1, 100);
  const hasRoom = roomOf([...acme, globex]);
  expect([acme[0], globex].map((endpoint) => hasRoom(endpoint as Endpoint))).toEqual([false, true]);
  expect(roomOf(acme.slice(0, 5))(acme[0] as Endpoint)).toBe(true);
});

test('an endpoint that holds nothing is read whatever the others hold', () => {
  expect(askOf(endpointWith('t_acme', 0, 0), 1, false)?.rows).toBe(8);
  expect(askOf(endpointWith('t_acme', 10, 10), 1, false)).toBeUndefined();
});
