import { beforeEach, expect, test } from 'vitest';
import { createAsks } from '../../functions/worker/webhooks/asks.ts';
import { type Endpoint, newEndpoint } from '../../functions/worker/webhooks/endpoint.ts';
import { createShares } from '../../functions/worker/webhooks/fairness.ts';
import { createPacing } from '../../functions/worker/webhooks/pacing.ts';

// Who is asked for first, and beside whom the machine is shared.

const NOW = Date.now();
let pacing: ReturnType<typeof createPacing>;
let look: ReturnType<typeof createAsks>;
let large: Endpoint;
let small: Endpoint;

beforeEach(() => {
  pacing = createPacing();
  large = Object.assign(newEndpoint('t_large', 'large'), { leased: true, known: new Set([1, 2]), wantAt: 0 });
  // Its last delivery is sent, and waits to be recorded behind the other's.
  small = Object.assign(newEndpoint('t_small', 'small'), { leased: true, known: new Set([1]), wantAt: 0 });
  const endpoints = new Map([large, small].map((endpoint) => [endpoint.id, endpoint]));
  look = createAsks({ endpoints, shares: createShares(32), pacing, lane: 'first' });
});

const asked = () => look(NOW, false).asked.map(({ endpoint }) => endpoint.id);

test('nobody has a backlog who has little in hand: the machine is not shared, and both are asked for', () => {
  expect(asked()).toEqual(['large', 'small']);
  expect(pacing.isShared()).toBe(false);
});

test('beside one that is set aside the machine is shared, however little of it is in hand, and the other is asked for first', () => {
  large.setAsideUntil = NOW + 1000;
  expect(asked()).toEqual(['small']);
  expect(pacing.isShared()).toBe(true);
});

test('while the machine is shared, one that is set aside goes to the session for backlogs as soon as it has nothing in hand', () => {
  large.setAsideUntil = NOW + 1000;
  pacing.share();
  Object.assign(large, { known: new Set() });
  const { releases, moves } = look(NOW, false);
  expect([releases, moves.map(({ id }) => id), large.lane]).toEqual([['large'], ['large'], 'between']);
});
