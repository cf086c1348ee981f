import { LRUCache } from 'lru-cache';
import { RowhouseError } from '../../errors.ts';
import type { Follower } from '../follow/follower.ts';
import { isAuthority } from '../follow/follower.ts';
import { createGroup, type Group, resumeGroup } from './group.ts';
import { resume, type Subscriber } from './subscriber.ts';

/** A tenant that has streams, or is about to have one. */
export interface TenantStreams {
  readonly id: string;
  readonly subscribers: Set<Subscriber>;
  /** By the members' role. */
  readonly groups: Map<string, Group>;
  /** Open, and being opened. */
  count: number;
  /** How often something has changed about who may do what. */
  changes: number;
  /** Some of its streams are doubtful. */
  doubtful: boolean;
  reviewing: Promise<void> | undefined;
  /** `changes` when the last review that has ended began. */
  reviewedAt: number;
  /** Up to here its entries are known to be settled. */
  settled: number;
  /** How often that was forgotten: what was read before is not given any more. */
  resets: number;
}

export interface Tenants {
  readonly all: ReadonlyMap<string, TenantStreams>;
  /** Counts one stream more. @throws RowhouseError stream_limit */
  enter(tenantId: string, most: number): TenantStreams;
  leave(tenant: TenantStreams): void;
  count(): number;
}

const KEPT = 10_000;

const tooMany = (detail: string) =>
  new RowhouseError('stream_limit', {
    detail,
    hint: 'Close streams that are not read any more; one can have events of several types.',
    headers: { 'Retry-After': '5' },
  });

export const groupOf = (tenant: TenantStreams, role: string): Group => {
  let group = tenant.groups.get(role);
  if (!group) {
    group = createGroup(role);
    tenant.groups.set(role, group);
  }
  return group;
};

/** The database has to let these in again before they get anything more. */
export function doubt(tenant: TenantStreams, subscribers: Iterable<Subscriber>): void {
  tenant.changes++;
  for (const subscriber of subscribers) {
    subscriber.doubtful = true;
    tenant.doubtful = true;
  }
}

/** The ledger may be another than the one that was read: nothing is known of it but what each stream has had. */
export function resumeAll(tenant: TenantStreams): void {
  tenant.settled = 0;
  tenant.resets++;
  for (const subscriber of tenant.subscribers) if (subscriber.behind) resume(subscriber);
  for (const group of tenant.groups.values()) resumeGroup(group);
}

/**
 * Which tenants have streams, and what the follower tells of them.
 * @param most streams of all tenants
 * @param onNews something has changed for some of them
 */
export function createTenants(follower: Follower, most: number, onNews: () => void): Tenants {
  const all = new Map<string, TenantStreams>();
  /** Of tenants whose last stream has just gone, and comes back. */
  const settled = new LRUCache<string, number>({ max: KEPT });
  let count = 0;

  const everything = () => {
    for (const tenant of all.values()) {
      doubt(tenant, tenant.subscribers);
      for (const group of tenant.groups.values()) group.dirty = true;
    }
    onNews();
  };
  follower.onChange(({ tenantId, table }) => {
    if (tenantId === null) {
      // What else the directory says of a tenant, its ledger says too.
      if (table === 'auth.signing_keys') everything();
      return;
    }
    const tenant = all.get(tenantId);
    if (!tenant) return;
    if (isAuthority(table)) doubt(tenant, tenant.subscribers);
    for (const group of tenant.groups.values()) group.dirty = true;
    onNews();
  });
  follower.onReset(() => {
    settled.clear();
    for (const tenant of all.values()) resumeAll(tenant);
    everything();
  });

  return {
    all,
    count: () => count,
    enter(tenantId, mostOfTenant) {
      if (count >= most) throw tooMany(`This edge keeps at most ${most} streams open.`);
      let tenant = all.get(tenantId);
      if ((tenant?.count ?? 0) >= mostOfTenant) {
        throw tooMany(`The tenant can have ${mostOfTenant} streams open at once.`);
      }
      if (!tenant) {
        tenant = {
          id: tenantId,
          subscribers: new Set(),
          groups: new Map(),
          count: 0,
          changes: 0,
          doubtful: false,
          reviewing: undefined,
          reviewedAt: 0,
          settled: settled.get(tenantId) ?? 0,
          resets: 0,
        };
        all.set(tenantId, tenant);
      }
      count++;
      tenant.count++;
      return tenant;
    },
    leave(tenant) {
      count--;
      tenant.count--;
      if (tenant.count > 0) return;
      all.delete(tenant.id);
      if (tenant.settled > 0) settled.set(tenant.id, tenant.settled);
    },
  };
}
