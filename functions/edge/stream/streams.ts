import type { ServerResponse } from 'node:http';
import { RowhouseError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import type { Caller } from '../caller.ts';
import type { Follower } from '../follow/follower.ts';
import { createFeed } from './feed.ts';
import { openingFrame } from './frames.ts';
import { join } from './group.ts';
import { createOutlet } from './outlet.ts';
import type { Opened, Reader } from './reader.ts';
import { resume, type Subscriber, sayGoodbye, send } from './subscriber.ts';
import { startSweeper } from './sweeper.ts';
import { createTenants, groupOf, type TenantStreams } from './tenants.ts';
import { filterOf, type Wanted } from './wanted.ts';

export interface StreamOptions {
  /** How often the ledger is looked at while there are streams. */
  pollMs: number;
  heartbeatMs: number;
  /** Streams of all tenants that are open at once. */
  most: number;
  /** Bytes that one stream may have before it, and all of them together. */
  streamBytes: number;
  totalBytes: number;
  /** A client that has taken nothing of what it was sent for so long is not waited for. */
  stallMs: number;
}

export interface StreamParts {
  log: Logger;
  follower: Follower;
  reader: Reader;
  options: StreamOptions;
}

/** A stream that was let in. Either begins, or is given up. */
export interface Opening {
  start(raw: ServerResponse): void;
  giveUp(): void;
}

export interface Streams {
  /** @param most that the tenant may have open @throws RowhouseError stream_limit, event_unknown, what the gate says */
  open(caller: Caller & { tenantId: string }, most: number, wanted: Wanted): Promise<Opening>;
  /** Ends all of them; clients come back, to another edge. */
  stop(): void;
}

export function createStreams({ log, follower, reader, options }: StreamParts): Streams {
  const tenants = createTenants(follower, options.most, wake);
  const feed = createFeed({ log, follower, reader, mostUnsent: options.streamBytes, close });
  let isAwake = false;
  let polling: NodeJS.Timeout | undefined;
  let stopped = false;

  function look(): void {
    isAwake = false;
    if (!follower.isFollowing()) return;
    for (const tenant of tenants.all.values()) {
      if (tenant.doubtful)
        feed.review(tenant).catch((error) => log.warn({ cause: error.message }, 'streams are not reviewed'));
      for (const group of tenant.groups.values()) if (group.dirty) void feed.readGroup(tenant, group);
    }
  }

  function wake(): void {
    if (isAwake) return;
    isAwake = true;
    setImmediate(look);
  }

  function poll(): void {
    if (polling || stopped || tenants.count() === 0) return;
    polling = setTimeout(async () => {
      await follower.sync().catch(() => {});
      polling = undefined;
      look();
      poll();
    }, options.pollMs);
    polling.unref();
  }

  function forget(tenant: TenantStreams, subscriber: Subscriber, reason: string): void {
    if (!tenant.subscribers.delete(subscriber)) return;
    subscriber.closed = true;
    const seconds = Math.round((performance.now() - subscriber.openedAt) / 1000);
    log.info({ tenant_id: tenant.id, subject: subscriber.caller.subject, reason, seconds }, 'stream ended');
    for (const group of tenant.groups.values()) group.live.delete(subscriber);
    tenants.leave(tenant);
  }

  function close(tenant: TenantStreams, subscriber: Subscriber, reason: RowhouseError): void {
    if (subscriber.closed) return;
    forget(tenant, subscriber, reason.code);
    sayGoodbye(subscriber, reason);
  }

  const stopSweeper = startSweeper({
    tenants: tenants.all,
    heartbeatMs: options.heartbeatMs,
    totalBytes: options.totalBytes,
    stallMs: options.stallMs,
    close,
    catchUp: feed.catchUp,
  });

  function start(
    tenant: TenantStreams,
    caller: Caller,
    wanted: Wanted,
    opened: Opened,
    raw: ServerResponse,
    { changes, reset }: { changes: number; reset: boolean },
  ) {
    const doubtful = tenant.changes !== changes;
    const now = performance.now();
    const outlet = createOutlet(
      raw,
      () => {
        if (subscriber.behind) void feed.catchUp(tenant, subscriber);
      },
      () => forget(tenant, subscriber, 'client_gone'),
    );
    const subscriber: Subscriber = {
      caller,
      filter: filterOf(wanted),
      outlet,
      role: opened.role,
      position: opened.position,
      mark: opened.mark,
      passed: opened.passed,
      resuming: false,
      doubtful,
      admittedAt: changes,
      behind: true,
      readingBehind: false,
      closed: false,
      openedAt: now,
      wroteAt: now,
      movedAt: now,
      taken: 0,
    };
    tenant.subscribers.add(subscriber);
    if (reset) resume(subscriber);
    else tenant.settled = Math.max(tenant.settled, wanted.after === null ? opened.position : 0);
    send(subscriber, openingFrame(opened.mark));
    if (stopped) {
      close(tenant, subscriber, new RowhouseError('edge_draining'));
      return;
    }
    if (doubtful) tenant.doubtful = true;
    // One that comes back may be far behind: it would keep those waiting who come to its group meanwhile.
    else if (reset || wanted.after !== null || !join(groupOf(tenant, opened.role), subscriber))
      void feed.catchUp(tenant, subscriber);
    wake();
    poll();
  }

  return {
    async open(caller, most, wanted) {
      if (stopped) throw new RowhouseError('edge_draining', { headers: { 'Retry-After': '1' } });
      const tenant = tenants.enter(caller.tenantId, most);
      const { changes, resets } = tenant;
      let opened: Opened;
      try {
        // From here on everything is heard of that is committed after the stream was let in.
        await follower.sync();
        opened = await reader.open(caller.token, wanted.after, tenant.settled);
      } catch (error) {
        tenants.leave(tenant);
        throw error;
      }
      let used = false;
      return {
        start(raw) {
          used = true;
          start(tenant, caller, wanted, opened, raw, { changes, reset: tenant.resets !== resets });
        },
        giveUp() {
          if (!used) tenants.leave(tenant);
          used = true;
        },
      };
    },
    stop() {
      stopped = true;
      stopSweeper();
      clearTimeout(polling);
      for (const tenant of tenants.all.values())
        for (const subscriber of [...tenant.subscribers]) close(tenant, subscriber, new RowhouseError('edge_draining'));
    },
  };
}
