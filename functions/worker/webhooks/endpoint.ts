import { admits, type Health, newHealth } from './health.ts';
import type { Material } from './material.ts';
import type { Ask, Delivery, Described, StateChange } from './store.ts';

/** An endpoint as the worker that holds its lease sees it. */
export interface Endpoint {
  readonly tenant: string;
  readonly id: string;
  described: Described | null;
  material: Material | null;
  health: Health;
  leased: boolean;
  /** Which session asks for it: that for backlogs, the first, or none before the other has given it back. */
  lane: 'first' | 'between' | 'backlog';
  /** Deliveries read since it was leased. */
  taken: number;
  /** Read and not begun, in the order in which they are sent. */
  buffer: Delivery[];
  /** Of their bodies, about. */
  bufferBytes: number;
  /** Of a body, lately. */
  meanBytes: number;
  /** Positions that were read and whose end is not recorded yet. */
  known: Set<number>;
  /** Those of them that wait for their first attempt: the watermark stays below. */
  open: Set<number>;
  /** The last position read of those that wait for their first attempt. */
  readPosition: number;
  /** Keys of which a delivery is under way. */
  busyKeys: Set<string>;
  /** Failed and set aside deliveries that are not recorded yet, with their keys: what comes after them is set aside, too. */
  unsettled: Map<number, string>;
  /** What is being recorded makes something due. */
  wantsWhenRecorded: boolean;
  /** New deliveries are known to be there: a lease that another worker holds is asked for again soon. */
  urgent: boolean;
  underWay: number;
  unrecorded: number;
  /** When there may be more to read; Infinity: when someone says so. */
  wantAt: number;
  /** Counts what was said, so that something said during a read is not forgotten after it. */
  wakes: number;
  busyMs: number;
  /** When the rate lets the next one go. */
  sendAt: number;
  savedAt: number;
  /** Others have to know its state now. */
  dirty: boolean;
  usedAt: number;
}

export function newEndpoint(tenant: string, id: string): Endpoint {
  return {
    tenant,
    id,
    described: null,
    material: null,
    health: newHealth(),
    leased: false,
    lane: 'first',
    taken: 0,
    buffer: [],
    bufferBytes: 0,
    meanBytes: 0,
    known: new Set(),
    open: new Set(),
    readPosition: 0,
    busyKeys: new Set(),
    unsettled: new Map(),
    wantsWhenRecorded: false,
    urgent: false,
    underWay: 0,
    unrecorded: 0,
    wantAt: Number.POSITIVE_INFINITY,
    wakes: 0,
    busyMs: 0,
    sendAt: 0,
    savedAt: 0,
    dirty: false,
    usedAt: 0,
  };
}

/** Reading ahead: enough that no lane waits for the database. */
const AHEAD = 2;
const MOST_ROWS = 256;
const FIRST_ROWS = 8;
/** One that is slow on a hot subject keeps many deliveries of it in hand, while others pass. */
const MOST_BUFFERED = 2000;
/** In memory, read ahead: a receiver that takes its time over large events would otherwise fill the worker's, at 2,000 of them. */
const MOST_BYTES = { endpoint: 4 << 20, tenant: 32 << 20, worker: 256 << 20 };
/** Of a second: how much of a rate may go at once. */
const RATE_BURST = 0.1;

export function lanes(endpoint: Endpoint): number {
  const { described, health } = endpoint;
  if (!described) return 1;
  if (described.ordering === 'endpoint') return 1;
  return Math.max(1, Math.min(described.tenantConcurrency, Math.floor(health.window)));
}

/** Whether an earlier delivery of the order is about to be recorded as not settled. */
export function isUnsettled({ unsettled }: Endpoint, key: string): boolean {
  for (const unsettledKey of unsettled.values()) if (unsettledKey === key) return true;
  return false;
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

/** Takes a delivery in that was read. */
export function putInBuffer(endpoint: Endpoint, delivery: Delivery): void {
  const bytes = delivery.body?.length ?? 0;
  endpoint.buffer.push(delivery);
  endpoint.bufferBytes += bytes;
  endpoint.meanBytes += (bytes - endpoint.meanBytes) / 8;
}

/** Takes what waits behind a delivery of an order out again. */
export function takeOrder(endpoint: Endpoint, key: string): Delivery[] {
  const { buffer } = endpoint;
  endpoint.buffer = buffer.filter(({ orderingKey }) => orderingKey !== key);
  endpoint.bufferBytes = endpoint.buffer.reduce((sum, { body }) => sum + (body?.length ?? 0), 0);
  return buffer.filter(({ orderingKey }) => orderingKey === key);
}

/**
 * What to ask the database for; undefined: nothing at the moment.
 * @param hasRoom whether its tenant and the worker may have more in memory than they do; one that has nothing in hand is read in any case
 */
export function askOf(endpoint: Endpoint, now: number, hasRoom = true): Ask | undefined {
  const { described, health } = endpoint;
  if (endpoint.wantAt > now) return undefined;
  if (health.pausedUntil > now) {
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

/** Forgets what was read and not begun: it is read again. */
export function dropBuffer(endpoint: Endpoint): void {
  for (const { position, retried } of endpoint.buffer) {
    endpoint.known.delete(position);
    if (!retried) {
      endpoint.open.delete(position);
      endpoint.readPosition = Math.min(endpoint.readPosition, position - 1);
    }
  }
  endpoint.buffer = [];
  endpoint.bufferBytes = 0;
}

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

/** Below every delivery that waits for its first attempt. */
export function watermarkOf(endpoint: Endpoint): number {
  let lowest = endpoint.readPosition + 1;
  for (const position of endpoint.open) if (position < lowest) lowest = position;
  return lowest - 1;
}

/** Nothing of it is sent until then: what was read is left to whoever holds the lease by then. */
export function rest(endpoint: Endpoint, until: number): void {
  dropBuffer(endpoint);
  endpoint.wantAt = until;
}

/** What was recorded, or is to be read again. */
export function forget(endpoint: Endpoint, position: number): void {
  endpoint.known.delete(position);
  endpoint.open.delete(position);
  endpoint.unsettled.delete(position);
}

/** Nothing of it is in hand, under way or to be recorded. */
export function hasNothing({ underWay, unrecorded, buffer }: Endpoint): boolean {
  return underWay === 0 && unrecorded === 0 && buffer.length === 0;
}

export function isIdle(endpoint: Endpoint, now: number): boolean {
  return hasNothing(endpoint) && endpoint.wantAt > now;
}

export function stateOf(endpoint: Endpoint): StateChange {
  const { health } = endpoint;
  return {
    t: endpoint.tenant,
    e: endpoint.id,
    generation: endpoint.described?.generation ?? 0,
    watermark: watermarkOf(endpoint),
    circuit: health.circuit,
    opened: health.opened,
    paused: health.pausedUntil || null,
    failing: health.failingSince,
    failures: health.failures,
    error: health.lastError?.slice(0, 500) ?? null,
  };
}
