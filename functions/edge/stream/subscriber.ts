import type { RowhouseError } from '../../errors.ts';
import type { Caller } from '../caller.ts';
import { closingFrame, eventFrame, heartbeatFrame } from './frames.ts';
import type { Outlet } from './outlet.ts';
import type { StreamEvent } from './reader.ts';
import type { Filter } from './wanted.ts';

/** One open stream. */
export interface Subscriber {
  readonly caller: Caller;
  readonly filter: Filter;
  readonly outlet: Outlet;
  /** What the database last said that the member is. */
  role: string;
  /** Everything up to here was written, or is not for it. */
  position: number;
  /** The last event of the tenant up to there: a client resumes behind it. */
  mark: number | null;
  /** What it was read up to may be of a ledger that is no more: its mark has to be looked up before it goes on. */
  resuming: boolean;
  /** Events behind its position that are not for it: they were there before it was opened. */
  passed: ReadonlySet<number>;
  /** Something about who may do what has changed since the database last let it in. */
  doubtful: boolean;
  /** The tenant's `changes` when the database was last asked, and let it in. */
  admittedAt: number;
  /** It reads the ledger by itself, because it is behind the others of its tenant. */
  behind: boolean;
  readingBehind: boolean;
  closed: boolean;
  readonly openedAt: number;
  wroteAt: number;
  /** The client took something, or there was nothing to take. */
  movedAt: number;
  taken: number;
}

export function send(subscriber: Subscriber, frame: Buffer): void {
  subscriber.wroteAt = performance.now();
  subscriber.outlet.write(frame);
}

/**
 * Whether it may have what was read before that many changes were known: it was let in after all of them. What has changed since then is
 * for what is read later; else a tenant whose members come and go faster than its streams are reviewed would have no events.
 */
export const isLetIn = ({ closed, doubtful, admittedAt }: Subscriber, changes: number): boolean =>
  !closed && (!doubtful || admittedAt >= changes);

export function sendHeartbeat(subscriber: Subscriber): void {
  send(subscriber, heartbeatFrame(subscriber.mark));
}

/** The event as it goes out; streams that get the same one share its bytes. */
export function frameOf(event: StreamEvent & { frame?: Buffer }): Buffer {
  event.frame ??= eventFrame(event.position, event.type, event.event);
  return event.frame;
}

/**
 * Back to the last event that it has had: what was known behind it, that nothing more comes there, may have been forgotten by a server that
 * crashed, or be of another history than that of the one that took over.
 */
export function resume(subscriber: Subscriber): void {
  subscriber.position = Math.min(subscriber.position, subscriber.mark ?? 0);
  subscriber.passed = new Set();
  subscriber.resuming = true;
}

/** Ends the stream, and tells the client why. */
export function sayGoodbye(subscriber: Subscriber, reason: RowhouseError): void {
  subscriber.closed = true;
  subscriber.outlet.end(closingFrame(reason));
}
