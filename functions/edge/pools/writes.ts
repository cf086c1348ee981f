import { LRUCache } from 'lru-cache';
import type { Follower } from '../follow/follower.ts';

/** Knows which tenants have written of late: a replica may not have it yet, so their reads go where writes go. */
export interface RecentWrites {
  note(tenantId: string): void;
  has(tenantId: string | undefined): boolean;
}

const KEPT = 100_000;

/** @param windowMs how far replicas may lag behind */
export function followWrites(follower: Pick<Follower, 'onChange' | 'onReset'>, windowMs: number): RecentWrites {
  const written = new LRUCache<string, true>({ max: KEPT, ttl: windowMs });
  let everybodyUntil = 0;
  // Writes of workers and other edges, too, as soon as they are followed; and of the directory, which concerns everybody.
  const everybody = () => {
    everybodyUntil = performance.now() + windowMs;
  };
  follower.onChange(({ tenantId }) => {
    if (tenantId === null) everybody();
    else written.set(tenantId, true);
  });
  follower.onReset(everybody);
  return {
    note: (tenantId) => void written.set(tenantId, true),
    has: (tenantId) => performance.now() < everybodyUntil || (tenantId !== undefined && written.has(tenantId)),
  };
}
