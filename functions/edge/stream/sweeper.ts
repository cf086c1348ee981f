import { RowhouseError } from '../../errors.ts';
import { type Subscriber, sendHeartbeat } from './subscriber.ts';
import type { TenantStreams } from './tenants.ts';

export interface SweeperParts {
  tenants: ReadonlyMap<string, TenantStreams>;
  heartbeatMs: number;
  /** Bytes that all streams together may have before them, not taken. */
  totalBytes: number;
  stallMs: number;
  close(tenant: TenantStreams, subscriber: Subscriber, reason: RowhouseError): void;
  catchUp(tenant: TenantStreams, subscriber: Subscriber): Promise<void>;
}

/** One timer for all: ten thousand streams are gone through in a few milliseconds. */
const SWEEP_MS = 250;

const stalled = (detail: string) =>
  new RowhouseError('stream_stalled', { detail, hint: 'Open it again with Last-Event-ID; nothing is lost.' });

/** Ends streams whose token has ended or whose client does not read, and says to the others that they are there. @returns stops it */
export function startSweeper(parts: SweeperParts): () => void {
  const { tenants, heartbeatMs, totalBytes, stallMs, close, catchUp } = parts;

  function inspect(tenant: TenantStreams, subscriber: Subscriber, now: number): number {
    const { outlet, caller } = subscriber;
    if (caller.expiresAt * 1000 <= Date.now()) {
      const hint = 'Open the stream again with a new token and Last-Event-ID.';
      close(tenant, subscriber, new RowhouseError('token_expired', { hint }));
      return 0;
    }
    const unsent = outlet.unsent();
    const taken = outlet.taken();
    if (unsent === 0 || taken > subscriber.taken) subscriber.movedAt = now;
    subscriber.taken = taken;
    if (now - subscriber.movedAt > stallMs) {
      close(tenant, subscriber, stalled(`Nothing was read for ${stallMs} ms.`));
      return 0;
    }
    if (unsent === 0 && now - subscriber.wroteAt >= heartbeatMs) sendHeartbeat(subscriber);
    if (subscriber.behind && outlet.hasRoom()) void catchUp(tenant, subscriber);
    return unsent;
  }

  /** Whoever has waited longest to be read gives way. */
  function makeRoom(total: number): void {
    const slow = [...tenants.values()].flatMap((tenant) =>
      Array.from(tenant.subscribers, (subscriber) => ({ tenant, subscriber })),
    );
    slow.sort((left, right) => left.subscriber.movedAt - right.subscriber.movedAt);
    let unsent = total;
    for (const { tenant, subscriber } of slow) {
      if (unsent <= totalBytes) return;
      const own = subscriber.outlet.unsent();
      if (own === 0) continue;
      unsent -= own;
      close(tenant, subscriber, stalled('Too much waits to be read, and of this stream for the longest time.'));
    }
  }

  const timer = setInterval(() => {
    const now = performance.now();
    let unsent = 0;
    for (const tenant of tenants.values()) {
      for (const subscriber of tenant.subscribers) unsent += inspect(tenant, subscriber, now);
    }
    if (unsent > totalBytes) makeRoom(unsent);
  }, SWEEP_MS);
  timer.unref();
  return () => clearInterval(timer);
}
