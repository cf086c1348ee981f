import type { Endpoint } from './endpoint.ts';
import type { Delivery } from './store.ts';
import { takeNext } from './take-next.ts';

/** Whose delivery goes next: the tenant that has the least under way for its weight. */

interface Share {
  readonly tenant: string;
  underWay: number;
  weight: number;
  limit: number;
  /** Those with something in hand; the first one is asked first, and goes to the end. */
  ready: Set<Endpoint>;
  /** What is under way for its weight, while it may have more; its place in the queues. */
  load: number | undefined;
}

export type Shares = ReturnType<typeof createShares>;

/**
 * Divides the deliveries that a worker can have under way. A tenant alone has all that its plan allows; among several that want
 * more than there is, each has its weight's part; what one does not use, the others do.
 * @param capacity for all tenants together
 */
export function createShares(capacity: number) {
  const shares = new Map<string, Share>();
  /** Those that may have more under way, by load: looking through all tenants for each delivery would cost as much as sending it. */
  const queues = new Map<number, Set<Share>>();
  let underWay = 0;

  function shareOf(endpoint: Endpoint): Share {
    let share = shares.get(endpoint.tenant);
    if (!share) {
      share = { tenant: endpoint.tenant, underWay: 0, weight: 1, limit: 1, ready: new Set(), load: undefined };
      shares.set(endpoint.tenant, share);
    }
    share.weight = endpoint.described?.tenantWeight ?? share.weight;
    share.limit = endpoint.described?.tenantConcurrency ?? share.limit;
    return share;
  }

  /** Puts a share where it belongs, after a change. */
  function place(share: Share): void {
    const { ready, underWay, weight, limit } = share;
    const load = ready.size > 0 && underWay < limit ? underWay / weight : undefined;
    if (load !== share.load) {
      const left = share.load === undefined ? undefined : queues.get(share.load);
      left?.delete(share);
      if (left?.size === 0) queues.delete(share.load as number);
      if (load !== undefined) {
        const queue = queues.get(load) ?? new Set();
        queues.set(load, queue.add(share));
      }
      share.load = load;
    }
    if (ready.size === 0 && underWay === 0) shares.delete(share.tenant);
  }

  function least(): Share | undefined {
    let lowest = Number.POSITIVE_INFINITY;
    for (const load of queues.keys()) if (load < lowest) lowest = load;
    return queues.get(lowest)?.values().next().value;
  }

  function takeFrom(share: Share, now: number): { endpoint: Endpoint; delivery: Delivery } | undefined {
    for (const endpoint of [...share.ready]) {
      const delivery = takeNext(endpoint, now);
      share.ready.delete(endpoint);
      if (!delivery) continue;
      if (endpoint.buffer.length > 0) share.ready.add(endpoint);
      endpoint.underWay += 1;
      share.underWay += 1;
      underWay += 1;
      return { endpoint, delivery };
    }
    return undefined;
  }

  return {
    underWay: () => underWay,

    /** The endpoint may have something to send. */
    offer(endpoint: Endpoint): void {
      if (endpoint.buffer.length === 0) return;
      const share = shareOf(endpoint);
      share.ready.add(endpoint);
      place(share);
    },

    /** Takes the delivery that goes next; undefined: none may at the moment. */
    next(now: number): { endpoint: Endpoint; delivery: Delivery } | undefined {
      if (underWay >= capacity) return undefined;
      for (let share = least(); share; share = least()) {
        const taken = takeFrom(share, now);
        place(share);
        if (taken) return taken;
      }
      return undefined;
    },

    /** A delivery has ended: its place is free. */
    end(endpoint: Endpoint): void {
      const share = shareOf(endpoint);
      endpoint.underWay -= 1;
      share.underWay -= 1;
      underWay -= 1;
      if (endpoint.buffer.length > 0) share.ready.add(endpoint);
      place(share);
    },
  };
}
