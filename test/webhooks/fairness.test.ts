import { expect, test } from 'vitest';
import { type Endpoint, newEndpoint } from '../../functions/worker/webhooks/endpoint.ts';
import { createShares } from '../../functions/worker/webhooks/fairness.ts';
import type { Described } from '../../functions/worker/webhooks/store.ts';

/** An endpoint with so many deliveries in hand. */
function endpoint(tenant: string, count: number, tier: { weight: number; limit: number }): Endpoint {
  const made = newEndpoint(tenant, `${tenant}-endpoint`);
  const described: Described = {
    version: 1,
    generation: 1,
    watermark: 0,
    url: 'https://hooks.example.com/',
    ordering: 'none',
    rate: null,
    timeoutMs: 15_000,
    signing: ['v1'],
    tenantConcurrency: tier.limit,
    tenantWeight: tier.weight,
    secrets: [],
  };
  const buffer = Array.from({ length: count }, (_, n) => ({
    position: n + 1,
    attempts: 0,
    failed: 0,
    orderingKey: null,
    retried: false,
    blocked: false,
    eventId: `evt_${n + 1}`,
    body: '{}',
  }));
  Object.assign(made, { described, buffer, leased: true, material: { headers: {}, secrets: [] } });
  made.health.window = 1000;
  return made;
}

/** How many of each tenant are begun until no more may be. */
function fill(shares: ReturnType<typeof createShares>): Record<string, number> {
  const begun: Record<string, number> = {};
  for (let next = shares.next(0); next; next = shares.next(0)) {
    const { tenant } = next.endpoint;
    begun[tenant] = (begun[tenant] ?? 0) + 1;
  }
  return begun;
}

test('divides the places by weight among tenants that want more than there are', () => {
  const shares = createShares(60);
  shares.offer(endpoint('t_large', 1000, { weight: 4, limit: 100 }));
  shares.offer(endpoint('t_middle', 1000, { weight: 1, limit: 100 }));
  shares.offer(endpoint('t_small', 1000, { weight: 1, limit: 100 }));
  expect(fill(shares)).toEqual({ t_large: 40, t_middle: 10, t_small: 10 });
});

test('gives what one tenant does not use to the others', () => {
  const shares = createShares(60);
  shares.offer(endpoint('t_large', 1000, { weight: 1, limit: 100 }));
  shares.offer(endpoint('t_small', 5, { weight: 4, limit: 100 }));
  expect(fill(shares)).toEqual({ t_large: 55, t_small: 5 });
});

test('gives a tenant no more than its plan allows, however many places are free', () => {
  const shares = createShares(60);
  shares.offer(endpoint('t_large', 1000, { weight: 1, limit: 16 }));
  expect(fill(shares)).toEqual({ t_large: 16 });
});

test('gives the next free place to a tenant that comes late, before one that has many under way', () => {
  const shares = createShares(20);
  const large = endpoint('t_large', 1000, { weight: 1, limit: 100 });
  shares.offer(large);
  expect(fill(shares)).toEqual({ t_large: 20 });
  shares.offer(endpoint('t_small', 1, { weight: 1, limit: 100 }));
  shares.end(large);
  expect(shares.next(0)?.endpoint.tenant).toBe('t_small');
  expect(shares.next(0)).toBeUndefined();
});

test('takes turns among tenants that have as much under way', () => {
  const shares = createShares(1);
  for (const tenant of ['t_a', 't_b', 't_c']) shares.offer(endpoint(tenant, 10, { weight: 1, limit: 10 }));
  const turns: string[] = [];
  for (let nth = 0; nth < 7; nth += 1) {
    const next = shares.next(0);
    if (!next) break;
    turns.push(next.endpoint.tenant);
    shares.end(next.endpoint);
  }
  expect(turns).toEqual(['t_a', 't_b', 't_c', 't_a', 't_b', 't_c', 't_a']);
});

test('goes on to the next tenant where the first has nothing that may go, and comes back when it has', () => {
  const shares = createShares(10);
  const stuck = endpoint('t_a', 1, { weight: 1, limit: 10 });
  stuck.health.pausedUntil = 1000;
  shares.offer(stuck);
  shares.offer(endpoint('t_b', 1, { weight: 1, limit: 10 }));
  expect(fill(shares)).toEqual({ t_b: 1 });
  stuck.health.pausedUntil = 0;
  shares.offer(stuck);
  expect(fill(shares)).toEqual({ t_a: 1 });
});
