import type { Endpoint } from './endpoint.ts';
import { admits } from './health.ts';
import type { Delivery } from './store.ts';

/** Which delivery of an endpoint goes next, and when: its order, its receiver's health and its rate decide. */

/** Of a second: how much of a rate may go at once. */
const RATE_BURST = 0.1;

/** Takes the next delivery that may go now. */
export function takeNext(endpoint: Endpoint, now: number): Delivery | undefined {
  const { buffer, busyKeys, described } = endpoint;
  if (buffer.length === 0 || !endpoint.leased || !endpoint.material || !described) return undefined;
  if (!admits(endpoint.health, endpoint.underWay, now)) return undefined;
  if (described.rate !== null && endpoint.sendAt > now + RATE_BURST * 1000) return undefined;
  const at = buffer.findIndex(({ orderingKey }) => orderingKey === null || !busyKeys.has(orderingKey));
  const delivery = buffer[at];
  if (!delivery) return undefined;
  buffer.splice(at, 1);
  endpoint.bufferBytes -= delivery.body?.length ?? 0;
  if (delivery.orderingKey !== null) busyKeys.add(delivery.orderingKey);
  if (described.rate !== null) endpoint.sendAt = Math.max(endpoint.sendAt, now) + 1000 / described.rate;
  return delivery;
}

/** When a delivery that is in hand can go, where that is a matter of time. */
export function nextSendAt(endpoint: Endpoint, now: number): number {
  if (endpoint.buffer.length === 0 || !endpoint.leased) return Number.POSITIVE_INFINITY;
  if (endpoint.health.pausedUntil > now) return endpoint.health.pausedUntil;
  const late = endpoint.sendAt - RATE_BURST * 1000;
  return endpoint.described?.rate && late > now ? late : Number.POSITIVE_INFINITY;
}
