import { RowhouseError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import type { Follower } from '../follow/follower.ts';
import { deliver, type Group, give, join, leave, ownBytes } from './group.ts';
import type { Reader } from './reader.ts';
import { createReview } from './review.ts';
import { isLetIn, type Subscriber } from './subscriber.ts';
import { doubt, groupOf, resumeAll, type TenantStreams } from './tenants.ts';

export interface FeedParts {
  log: Logger;
  follower: Follower;
  reader: Reader;
  /** Bytes that a stream may have before it, not taken, when more come. */
  mostUnsent: number;
  close(tenant: TenantStreams, subscriber: Subscriber, reason: RowhouseError): void;
}

export interface Feed {
  /** Asks the database about the streams that are doubtful, and closes those that it lets in no more. */
  review(tenant: TenantStreams): Promise<void>;
  /** Reads what is new for the streams of a group, and gives it to them. */
  readGroup(tenant: TenantStreams, group: Group): Promise<void>;
  /** Reads for one stream that is behind, until it has what its group has, or takes no more for now. */
  catchUp(tenant: TenantStreams, subscriber: Subscriber): Promise<void>;
}

/** After an error that is nobody's in particular. */
const RETRY_MS = 1000;

const isRefusal = (error: unknown) => error instanceof RowhouseError && error.status < 500;
/** What a stream has had last is in the ledger no longer. */
const isLost = (error: unknown): error is RowhouseError =>
  error instanceof RowhouseError && error.code === 'event_unknown';

export function createFeed({ log, follower, reader, mostUnsent, close }: FeedParts): Feed {
  const review = createReview({ reader, close, onBehind: (tenant, subscriber) => void catchUp(tenant, subscriber) });

  /**
   * To be called after a read: asks about streams that what was committed before it may have ended.
   * @returns the changes that were known: what was read may be given to whoever isLetIn()
   */
  async function changesBefore(tenant: TenantStreams): Promise<number> {
    await follower.sync();
    const { changes } = tenant;
    // The first may have begun before they were known.
    for (let nth = 0; nth < 2 && tenant.doubtful && tenant.reviewedAt < changes; nth++) await review(tenant);
    return changes;
  }

  /** What a group has had last is no longer there: it ends, but for those who came to it later, having read the ledger as it is. */
  function lose(tenant: TenantStreams, group: Group, error: RowhouseError): void {
    for (const subscriber of group.live) {
      if (subscriber.mark === group.seen) close(tenant, subscriber, error);
      else leave(group, subscriber);
    }
  }

  /** Nothing is known of the ledger any more, not even that it is the one that was read. */
  function startAnew(tenant: TenantStreams): void {
    resumeAll(tenant);
    for (const subscriber of tenant.subscribers) if (subscriber.behind) void catchUp(tenant, subscriber);
  }

  async function readPage(tenant: TenantStreams, group: Group): Promise<'again' | 'later'> {
    group.dirty = false;
    const [asker] = group.live;
    if (!asker) return 'later';
    const { resets } = tenant;
    const { position: after, seen } = group;
    const page = await reader
      .read({
        tenantId: tenant.id,
        live: true,
        token: asker.caller.token,
        after,
        settled: tenant.settled,
        seen,
        selection: null,
      })
      .catch((error) => {
        if (isLost(error) && tenant.resets === resets) lose(tenant, group, error);
        else if (isRefusal(error)) doubt(tenant, [asker]);
        throw error;
      });
    if (page.role !== group.role) doubt(tenant, [asker]);
    const changes = await changesBefore(tenant);
    const holds = !tenant.doubtful || tenant.reviewedAt >= changes;
    // Nobody may have been left, and others come to another place.
    if (!holds || page.role !== group.role || page.after !== group.position || tenant.resets !== resets) {
      group.dirty = true;
      return holds ? 'again' : 'later';
    }
    if (page.through < page.after) {
      startAnew(tenant);
      return 'later';
    }
    group.seen = null;
    tenant.settled = Math.max(tenant.settled, page.through);
    deliver(group, page, changes, mostUnsent);
    if (page.full) return 'again';
    // A writer that has not ended holds it back; nobody tells when it ends.
    if (page.more) group.dirty = true;
    return page.more || !group.dirty ? 'later' : 'again';
  }

  async function readGroup(tenant: TenantStreams, group: Group): Promise<void> {
    if (group.reading || performance.now() < group.retryAt) return;
    group.reading = true;
    try {
      while (group.live.size > 0 && (await readPage(tenant, group)) === 'again');
    } catch (error) {
      group.dirty = true;
      if (isRefusal(error)) return;
      group.retryAt = performance.now() + RETRY_MS;
      log.warn({ tenant_id: tenant.id, cause: (error as Error).message }, 'streams wait for the database');
    } finally {
      group.reading = false;
    }
  }

  async function readBehind(tenant: TenantStreams, subscriber: Subscriber): Promise<boolean> {
    const { caller, filter, position, role } = subscriber;
    const { resets } = tenant;
    const seen = subscriber.resuming ? subscriber.mark : null;
    const page = await reader
      .read({
        tenantId: tenant.id,
        live: false,
        token: caller.token,
        after: position,
        settled: tenant.settled,
        seen,
        selection: filter.selection,
      })
      .catch((error) => {
        if (isLost(error) && tenant.resets === resets) close(tenant, subscriber, error);
        else if (isRefusal(error)) doubt(tenant, [subscriber]);
        throw error;
      });
    if (page.role !== role) doubt(tenant, [subscriber]);
    if (!isLetIn(subscriber, await changesBefore(tenant)) || page.role !== subscriber.role) return false;
    if (tenant.resets !== resets) return true;
    if (page.through < page.after) {
      startAnew(tenant);
      return false;
    }
    subscriber.resuming = false;
    tenant.settled = Math.max(tenant.settled, page.through);
    give(subscriber, page, ownBytes(page, subscriber));
    if (page.full) return true;
    const group = groupOf(tenant, subscriber.role);
    if (!join(group, subscriber)) return true;
    void readGroup(tenant, group);
    return false;
  }

  async function catchUp(tenant: TenantStreams, subscriber: Subscriber): Promise<void> {
    if (subscriber.readingBehind) return;
    subscriber.readingBehind = true;
    try {
      while (!subscriber.closed && subscriber.outlet.hasRoom() && (await readBehind(tenant, subscriber)));
    } catch (error) {
      if (!isRefusal(error)) {
        log.warn({ tenant_id: tenant.id, cause: (error as Error).message }, 'a stream waits for the database');
      }
    } finally {
      subscriber.readingBehind = false;
    }
  }

  return { review, readGroup, catchUp };
}
