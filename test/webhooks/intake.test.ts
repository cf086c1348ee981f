import pino from 'pino';
import { expect, test } from 'vitest';
import { dropBuffer, type Endpoint, newEndpoint } from '../../functions/worker/webhooks/endpoint.ts';
import { createShares } from '../../functions/worker/webhooks/fairness.ts';
import { createIntake } from '../../functions/worker/webhooks/intake.ts';
import type { SecretOpener } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { askOf } from '../../functions/worker/webhooks/read-ahead.ts';
import type { Recorder } from '../../functions/worker/webhooks/recorder.ts';
import type { Claimed, Described } from '../../functions/worker/webhooks/store.ts';

const DESCRIBED: Described = {
  version: 2,
  generation: 1,
  watermark: 0,
  url: 'https://hooks.example.com/',
  ordering: 'none',
  rate: null,
  timeoutMs: 15_000,
  signing: ['v1'],
  tenantConcurrency: 32,
  tenantWeight: 1,
  secrets: [],
};
const HEALTH = { circuit: 'closed', opened: 0, failures: 0, pausedUntil: null, failingSince: null } as const;

function deliveries(endpoint: Endpoint, ...positions: number[]): Claimed[] {
  const fresh = { attempts: 0, failed: 0, orderingKey: null, retried: false, blocked: false, body: '{}' };
  return positions.map((position) => ({
    kind: 'delivery',
    endpoint: endpoint.id,
    delivery: { position, eventId: `evt_${position}`, ...fresh },
  }));
}

/** An endpoint whose deliveries 1 and 2 are read and not begun, and a read above them that has yet to answer. */
function whileReading() {
  const endpoint = newEndpoint('t_a', 'e1');
  const takeIn = createIntake({
    endpoints: new Map([[endpoint.id, endpoint]]),
    shares: createShares(10),
    recorder: {} as Recorder,
    opener: {} as SecretOpener,
    log: pino({ level: 'silent' }),
    pump: () => {},
  });
  const ask = () => {
    endpoint.wantAt = 0;
    const asked = askOf(endpoint, Date.now());
    if (!asked) throw new Error('nothing was asked');
    endpoint.wantAt = Number.POSITIVE_INFINITY;
    return [{ endpoint, ask: asked, wakes: endpoint.wakes }];
  };
  const leased: Claimed = { kind: 'leased', endpoint: endpoint.id, dueAt: null, health: HEALTH };
  const described: Claimed = { kind: 'endpoint', endpoint: endpoint.id, described: DESCRIBED };
  takeIn([leased, described, ...deliveries(endpoint, 1, 2)], ask());
  const asked = ask();
  expect(asked[0]?.ask).toMatchObject({ watermark: 2, version: 2 });
  return { endpoint, leased, described, answer: (rows: Claimed[]) => takeIn(rows, asked) };
}

const inHand = ({ buffer }: Endpoint) => buffer.map(({ position }) => position);

test('takes in what a read brings', () => {
  const { endpoint, leased, answer } = whileReading();
  answer([leased, ...deliveries(endpoint, 3, 4)]);
  expect(inHand(endpoint)).toEqual([1, 2, 3, 4]);
  expect(endpoint.readPosition).toBe(4);
});

test('takes in nothing that lies behind what was dropped while it was being read, and reads again', () => {
  const { endpoint, leased, answer } = whileReading();
  dropBuffer(endpoint);
  answer([leased, ...deliveries(endpoint, 3, 4)]);
  expect(inHand(endpoint)).toEqual([]);
  expect(endpoint.readPosition).toBe(0);
  expect(endpoint.wantAt).toBe(0);
});

test('takes in what was read for an endpoint that has changed: that was read from its watermark', () => {
  const { endpoint, leased, described, answer } = whileReading();
  dropBuffer(endpoint);
  answer([leased, described, ...deliveries(endpoint, 1, 2, 3)]);
  expect(inHand(endpoint)).toEqual([1, 2, 3]);
  expect(endpoint.readPosition).toBe(3);
});
