import { type Endpoint, isTest } from './endpoint.ts';
import { errorOf } from './health.ts';
import { liveSecrets } from './material.ts';
import type { Outcome, Outgoing } from './outgoing/outcome.ts';
import { isSuccess, nextAttempt } from './outgoing/retry.ts';
import { sign } from './outgoing/signature.ts';
import type { Result } from './records.ts';
import type { Delivery } from './store.ts';

/** One attempt at a delivery: the request, and what becomes of the delivery after it. */

/** @returns undefined when it cannot be signed: no secret of the endpoint is live */
export function requestOf({ described, material }: Endpoint, delivery: Delivery, now: number): Outgoing | undefined {
  if (!described || !material || delivery.body === null) return undefined;
  const secrets = liveSecrets(material, now);
  if (secrets.length === 0) return undefined;
  const timestamp = Math.floor(now / 1000);
  return {
    url: described.url,
    headers: {
      'content-type': 'application/json',
      ...material.headers,
      'webhook-id': delivery.eventId,
      'webhook-timestamp': String(timestamp),
      'webhook-signature': sign(delivery.eventId, timestamp, delivery.body, secrets),
    },
    body: delivery.body,
    timeoutMs: described.timeoutMs,
  };
}

/** What to record of an attempt. `gone`: the receiver wants nothing any more (410). */
export function resultOf(
  endpoint: Endpoint,
  delivery: Delivery,
  outcome: Outcome,
  at: number,
  retryScale: number,
): { result: Result; gone: boolean } {
  const next = isSuccess(outcome) ? 'succeeded' : nextAttempt(delivery.failed + 1, outcome, Math.random, retryScale);
  const again = typeof next === 'object' && !isTest(delivery);
  const status =
    next === 'succeeded' ? 'succeeded' : again || (next === 'gone' && !isTest(delivery)) ? 'pending' : 'dead';
  const answered = outcome.kind === 'response';
  return {
    result: {
      t: endpoint.tenant,
      e: endpoint.id,
      p: delivery.position,
      attempt: delivery.attempts + 1,
      status,
      code: answered ? outcome.status : null,
      error: errorOf(outcome),
      latency: outcome.latencyMs,
      response: answered ? outcome.body : outcome.detail.slice(0, 1024),
      at,
      // Of an endpoint that is gone, it is held, and due as soon as that is enabled again.
      next_at: status === 'pending' ? Date.now() + (typeof next === 'object' ? next.afterMs : 0) : null,
    },
    gone: next === 'gone',
  };
}

/** The ledger does not have the event any more: there is nothing to send. */
export function expiredResult(endpoint: Endpoint, delivery: Delivery, at: number): Result {
  return {
    t: endpoint.tenant,
    e: endpoint.id,
    p: delivery.position,
    attempt: delivery.attempts + 1,
    status: 'dead',
    code: null,
    error: 'event_expired',
    latency: 0,
    response: null,
    at,
    next_at: null,
  };
}
