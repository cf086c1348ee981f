import type { Pool } from '../../database.ts';
import type { Logger } from '../../log.ts';
import { expiredResult, resultOf } from './attempt.ts';
import { dropBuffer, type Endpoint, forget, rest, takeOrder } from './endpoint.ts';
import { type HealthLimits, isHopeless, observe } from './health.ts';
import { park, pause } from './intake.ts';
import type { Outcome } from './outgoing/outcome.ts';
import type { Recorder } from './recorder.ts';
import type { Result } from './records.ts';
import { type Delivery, disable } from './store.ts';

/** For less than this, it is not worth giving a lease back. */
const REST_MS = 1000;
/** Until the database says so itself. */
const ENDED_MS = 1000;

/** What follows from the end of an attempt. */
export function createOutcomes(options: {
  pool: Pool;
  recorder: Recorder;
  limits: HealthLimits;
  retryScale: number;
  log: Logger;
}) {
  const { pool, recorder, limits, retryScale, log } = options;

  /** Of an order, the others wait for the one that failed. */
  function holdBack(endpoint: Endpoint, { orderingKey, position }: Delivery): void {
    const key = orderingKey ?? '';
    endpoint.unsettled.set(position, key);
    if (endpoint.described?.ordering === 'endpoint' && key === '') {
      dropBuffer(endpoint);
      return;
    }
    for (const delivery of takeOrder(endpoint, key)) {
      if (delivery.retried) endpoint.known.delete(delivery.position);
      else park(recorder, endpoint, delivery);
    }
  }

  function note(endpoint: Endpoint, { orderingKey, retried }: Delivery, result: Result): void {
    endpoint.unrecorded += 1;
    const frees = orderingKey !== null && result.status !== 'pending';
    recorder.note({
      endpoint,
      result,
      ...(frees && {
        freed: { t: endpoint.tenant, e: endpoint.id, k: orderingKey },
      }),
    });
    // A first attempt seldom frees any: only where a replay came between, which the next look finds.
    endpoint.wantsWhenRecorded ||= (frees && retried) || result.status === 'pending';
  }

  async function end(endpoint: Endpoint, reason: 'gone' | 'failing'): Promise<void> {
    endpoint.health.pausedUntil = Date.now() + ENDED_MS; // the database says so from then on
    rest(endpoint, endpoint.health.pausedUntil);
    const about = {
      tenant_id: endpoint.tenant,
      endpoint_id: endpoint.id,
      reason,
    };
    try {
      if (await disable(pool, endpoint.tenant, endpoint.id, reason)) log.warn(about, 'webhook endpoint disabled');
    } catch (error) {
      log.warn({ ...about, error: (error as Error).message }, 'webhook endpoint not disabled');
    }
  }

  /** @param outcome undefined: nothing was sent, or nobody knows */
  function finish(endpoint: Endpoint, delivery: Delivery, outcome: Outcome | undefined, at: number): void {
    const now = Date.now();
    if (delivery.orderingKey !== null) endpoint.busyKeys.delete(delivery.orderingKey);
    if (outcome) {
      if (outcome.kind === 'failed' && outcome.withheld !== undefined) {
        const { reason, detail, withheld } = outcome;
        log.info(
          { tenant_id: endpoint.tenant, endpoint_id: endpoint.id, reason, detail, withheld },
          'webhook not connected',
        );
      }
      const { result, gone } = resultOf(endpoint, delivery, outcome, at, retryScale);
      const isOfNow = at >= endpoint.since;
      if (isOfNow && observe(endpoint.health, outcome, now, limits)) recorder.touch(endpoint);
      if (delivery.orderingKey !== null && result.status === 'pending') holdBack(endpoint, delivery);
      note(endpoint, delivery, result);
      if (gone && isOfNow) void end(endpoint, 'gone');
      else if (isHopeless(endpoint.health, now, limits)) void end(endpoint, 'failing');
      else if (endpoint.health.pausedUntil > now + REST_MS) rest(endpoint, endpoint.health.pausedUntil);
    } else if (delivery.body === null) {
      note(endpoint, delivery, expiredResult(endpoint, delivery, at));
    } else {
      forget(endpoint, delivery.position);
      if (!delivery.retried) endpoint.readPosition = Math.min(endpoint.readPosition, delivery.position - 1);
      pause(endpoint, 'it could not be sent');
      recorder.touch(endpoint);
    }
  }

  return { finish };
}
