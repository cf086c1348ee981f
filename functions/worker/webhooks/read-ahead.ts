import { dropBuffer, type Endpoint, isUnsettled } from './endpoint.ts';
import type { Ask } from './store.ts';

/** How much of an endpoint is read before it can be sent. */

/** Enough that no lane waits for the database. */
const AHEAD = 2;
const MOST_ROWS = 256;
const FIRST_ROWS = 8;
/** One that is slow on a hot subject keeps many deliveries of it in hand, while others pass. */
const MOST_BUFFERED = 2000;
/** In memory, read ahead: a receiver that takes its time over large events would otherwise fill the worker's, at 2,000 of them. */
const MOST_BYTES = { endpoint: 4 << 20, tenant: 32 << 20, worker: 256 << 20 };

function lanes(endpoint: Endpoint): number {
  const { described, health } = endpoint;
  if (!described) return 1;
  if (described.ordering === 'endpoint') return 1;
  return Math.max(1, Math.min(described.tenantConcurrency, Math.floor(health.window)));
}

function sendableCount({ buffer, busyKeys }: Endpoint): number {
  let count = 0;
  for (const { orderingKey } of buffer) if (orderingKey === null || !busyKeys.has(orderingKey)) count += 1;
  return count;
}

/** For each endpoint, whether its tenant and the worker have room in memory to read ahead. */
export function roomOf(endpoints: Iterable<Endpoint>): (endpoint: Endpoint) => boolean {
  const held = new Map<string, number>();
  let total = 0;
  for (const { tenant, bufferBytes } of endpoints) {
    if (bufferBytes > 0) held.set(tenant, (held.get(tenant) ?? 0) + bufferBytes);
    total += bufferBytes;
  }
  return ({ tenant }) => total < MOST_BYTES.worker && (held.get(tenant) ?? 0) < MOST_BYTES.tenant;
}

/**
 * What to ask the database for; undefined: nothing at the moment.
 * @param hasRoom whether its tenant and the worker may have more in memory than they do; one that has nothing in hand is read in any case
 */
export function askOf(endpoint: Endpoint, now: number, hasRoom = true): Ask | undefined {
  const { described, health } = endpoint;
  if (endpoint.wantAt > now) return undefined;
  // New deliveries alone do not end a pause.
  if (health.pausedUntil > now && !endpoint.foundDue) {
    endpoint.wantAt = health.pausedUntil;
    return undefined;
  }
  // Nothing of it can be sent, so it would never be read again.
  if (!described) dropBuffer(endpoint);
  const probing = health.circuit !== 'closed';
  const ahead = probing
    ? 1
    : Math.min(MOST_ROWS, lanes(endpoint) * AHEAD + (described?.ordering === 'endpoint' ? 30 : 0));
  const ready = endpoint.busyKeys.size > 0 ? sendableCount(endpoint) : endpoint.buffer.length;
  if (ready > ahead / 2 || endpoint.buffer.length > MOST_BUFFERED) return undefined;
  if (endpoint.buffer.length > 0 && (!hasRoom || endpoint.bufferBytes > MOST_BYTES.endpoint)) return undefined;
  const retriedInHand = endpoint.known.size - endpoint.open.size;
  // The first look is for an answer at once; if there is more, there is another.
  const wanted = endpoint.known.size === 0 ? Math.min(ahead, FIRST_ROWS) : ahead + retriedInHand;
  const rows = Math.max(
    retriedInHand + 1,
    Math.min(wanted, Math.floor(MOST_BYTES.endpoint / (endpoint.meanBytes + 1))),
  );
  return {
    tenant: endpoint.tenant,
    id: endpoint.id,
    version: described?.version ?? 0,
    watermark: endpoint.readPosition,
    rows,
    fresh: !(described?.ordering === 'endpoint' && isUnsettled(endpoint, '')),
  };
}
