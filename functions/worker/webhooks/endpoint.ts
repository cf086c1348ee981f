import { type Health, newHealth } from './health.ts';
import type { Material } from './material.ts';
import type { Delivery, Described } from './store.ts';

/** An endpoint as the worker that holds its lease sees it. */
export interface Endpoint {
  readonly tenant: string;
  readonly id: string;
  described: Described | null;
  material: Material | null;
  health: Health;
  /** Counts the changes of its health that others have to know. */
  changes: number;
  /** Up to which of them the database has it: no lease is given back before that, or whoever takes it would not count on. */
  saved: number;
  /** The last one described. */
  generation: number;
  /** Since when it is of that generation: what was sent before that says nothing of the receiver that it has now. */
  since: number;
  leased: boolean;
  /** Which session asks for it: that for backlogs, the first, or none before the other has given it back. */
  lane: 'first' | 'between' | 'backlog';
  /** Until then its tenant counts as set aside by the dispatch: however little of it is read at a time, more follows. */
  setAsideUntil: number;
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
  /** The database has it due, and so knows of no pause, or of none any more. */
  foundDue: boolean;
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
    changes: 0,
    saved: 0,
    generation: 0,
    since: 0,
    leased: false,
    lane: 'first',
    setAsideUntil: 0,
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
    foundDue: false,
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

/** Whether an earlier delivery of the order is about to be recorded as not settled. */
export function isUnsettled({ unsettled }: Endpoint, key: string): boolean {
  for (const unsettledKey of unsettled.values()) if (unsettledKey === key) return true;
  return false;
}

/** Tests are tried once, and before anything else: whoever asked for one looks at what comes of it. */
export const isTest = ({ eventId }: Delivery) => eventId.startsWith('test_');

/** Takes a delivery in that was read. */
export function putInBuffer(endpoint: Endpoint, delivery: Delivery): void {
  const bytes = delivery.body?.length ?? 0;
  if (isTest(delivery)) endpoint.buffer.unshift(delivery);
  else endpoint.buffer.push(delivery);
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
export function hasNothing(endpoint: Endpoint): boolean {
  const { underWay, unrecorded, buffer } = endpoint;
  return underWay === 0 && unrecorded === 0 && buffer.length === 0 && !isUnsaved(endpoint);
}

/** Without the lease, its health is for others to say. */
export function isUnsaved({ leased, changes, saved }: Endpoint): boolean {
  return leased && changes > saved;
}

export function isIdle(endpoint: Endpoint, now: number): boolean {
  return hasNothing(endpoint) && endpoint.wantAt > now;
}
