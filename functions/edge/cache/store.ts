import { LRUCache } from 'lru-cache';
import type { TenantSettings } from '../settings.ts';
import type { Catalogue } from './catalogue.ts';
import type { Forms } from './entry.ts';
import type { Reading } from './target.ts';

/** An answer that is kept, or one that is under way and may be. */
export interface Kept extends Reading {
  /** Until a table beneath it changes, or who may see it does. */
  alive: boolean;
  readonly key: string;
  /** Whose request it answered first. */
  readonly token: string;
  /** The tenant's, when it was asked for. */
  readonly authority: number;
  readonly catalogue: Catalogue;
  /** As they were when the off switches were last looked at. */
  settings: TenantSettings;
  /** Undefined until the answer has come, and where it cannot be kept. */
  forms: Forms | undefined;
  /** Resolves when the answer has come; to false where it cannot be given to others. */
  arrived: Promise<boolean>;
}

export interface Tenant {
  readonly id: string;
  /** Another one after any change of who may do what in the tenant. */
  authority: number;
  kept: LRUCache<string, Kept> | undefined;
  keptBytes: number;
  /** The follower's mark when the tenant last wrote through this edge: its next one may not tell of that yet. */
  wroteAt: number;
  readonly underWay: Map<string, Kept>;
  /** Which answers rest on a table. */
  readonly restingOn: Map<string, Set<Kept>>;
}

/** What is kept of each tenant, within its own limit and a fair share of the whole. */
export interface Store {
  tenant(id: string): Tenant;
  /** From now on a change of one of its tables ends it. */
  watch(tenant: Tenant, kept: Kept): void;
  unwatch(tenant: Tenant, kept: Kept): void;
  /** @param limit bytes that the tenant may use */
  keep(tenant: Tenant, kept: Kept, limit: number): void;
  /** Ends what rests on a table of one tenant, or where it is null, of all. */
  tableChanged(tenantId: string | null, table: string): void;
  /** Ends everything of one tenant, and every verdict on its tokens. */
  authorityChanged(tenantId: string): void;
  forget(): void;
  bytes(): number;
}

const bytesOf = ({ forms }: Kept): number => forms?.bytes ?? 0;

/** Tenants whose answers or verdicts are remembered at all; one that is let go begins anew. */
const TENANTS = 10_000;
/** However small they are. */
const ENTRIES = 10_000;

/** @param totalBytes for all tenants together; what exceeds it is taken from whoever has most */
export function createStore(totalBytes: number): Store {
  let bytes = 0;
  let authorities = 0;
  const tenants = new LRUCache<string, Tenant>({ max: TENANTS, dispose: (tenant) => end(tenant) });

  function unwatch(tenant: Tenant, kept: Kept) {
    for (const table of kept.tables) {
      const resting = tenant.restingOn.get(table);
      resting?.delete(kept);
      if (resting?.size === 0) tenant.restingOn.delete(table);
    }
  }

  function newKeep(tenant: Tenant, limit: number): LRUCache<string, Kept> {
    return new LRUCache<string, Kept>({
      maxSize: limit,
      sizeCalculation: bytesOf,
      dispose: (kept) => {
        kept.alive = false;
        tenant.keptBytes -= bytesOf(kept);
        bytes -= bytesOf(kept);
        unwatch(tenant, kept);
      },
    });
  }

  function end(tenant: Tenant) {
    tenant.authority = ++authorities;
    for (const resting of tenant.restingOn.values()) for (const kept of resting) kept.alive = false;
    tenant.kept?.clear();
  }

  /** Whoever uses no more than an equal share never loses by another's growth: the one with most is above it. */
  function shrink() {
    while (bytes > totalBytes) {
      let largest: Tenant | undefined;
      for (const tenant of tenants.values()) {
        if (!largest || tenant.keptBytes > largest.keptBytes) largest = tenant;
      }
      if (!largest?.kept?.pop()) return;
    }
  }

  function changed(tenant: Tenant, table: string) {
    const resting = tenant.restingOn.get(table);
    if (!resting) return;
    tenant.restingOn.delete(table);
    for (const kept of resting) {
      kept.alive = false;
      if (tenant.kept?.peek(kept.key) === kept) tenant.kept.delete(kept.key);
    }
  }

  return {
    tenant(id) {
      const known = tenants.get(id);
      if (known) return known;
      const tenant: Tenant = {
        id,
        authority: ++authorities,
        kept: undefined,
        keptBytes: 0,
        wroteAt: Number.NEGATIVE_INFINITY,
        underWay: new Map(),
        restingOn: new Map(),
      };
      tenants.set(id, tenant);
      return tenant;
    },
    watch(tenant, kept) {
      for (const table of kept.tables) {
        const resting = tenant.restingOn.get(table);
        if (resting) resting.add(kept);
        else tenant.restingOn.set(table, new Set([kept]));
      }
    },
    unwatch,
    keep(tenant, kept, limit) {
      const isCurrent = kept.alive && kept.authority === tenant.authority && tenants.peek(tenant.id) === tenant;
      const size = bytesOf(kept);
      if (!isCurrent || size > limit) {
        // Nothing tells it of changes any more: those who wait for it have to ask for themselves.
        kept.alive = false;
        return unwatch(tenant, kept);
      }
      if (tenant.kept?.maxSize !== limit) {
        tenant.kept?.clear();
        tenant.kept = newKeep(tenant, limit);
      }
      tenant.keptBytes += size;
      bytes += size;
      tenant.kept.set(kept.key, kept);
      if (tenant.kept.size > ENTRIES) tenant.kept.pop();
      if (bytes > totalBytes) shrink();
    },
    tableChanged(tenantId, table) {
      if (tenantId === null) {
        for (const tenant of tenants.values()) changed(tenant, table);
      } else {
        const tenant = tenants.peek(tenantId);
        if (tenant) changed(tenant, table);
      }
    },
    authorityChanged(tenantId) {
      const tenant = tenants.peek(tenantId);
      if (tenant) end(tenant);
    },
    forget() {
      for (const tenant of tenants.values()) end(tenant);
    },
    bytes: () => bytes,
  };
}
