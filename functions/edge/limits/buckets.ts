import type { TenantSettings } from '../settings.ts';
import { type Bucket, changeLimit, createBucket, expected, leaseSize, refillAlone } from './bucket.ts';
import { policyField } from './fields.ts';
import type { Kind } from './kind.ts';
import type { Leases } from './leases.ts';

export interface Buckets {
  of(settings: TenantSettings, kind: Kind): Bucket;
  /** Takes a unit: whether there was one; a promise where only a lease can tell. */
  take(bucket: Bucket): boolean | Promise<boolean>;
  /** Uses more, after the fact. */
  charge(bucket: Bucket, units: number): void;
  /** A unit that was taken was not used. */
  restore(bucket: Bucket): void;
  /** What is left, as far as this edge knows. */
  left(bucket: Bucket): number;
  /** Gives back what is held. */
  stop(): void;
}

const SWEEP_MS = 1000;
/** What is held and not used for so long is given back, and a bucket not used for so long is forgotten. */
const GIVE_BACK_MS = 1000;
const FORGET_MS = 60_000;
/** As much of a limit as may be used before the first lease is answered: those requests do not wait. */
const ADVANCE_SECONDS = 0.02;

function use(bucket: Bucket): true {
  bucket.held--;
  bucket.used++;
  return true;
}

/** The buckets of the tenants that were here lately: three numbers' arithmetic for a request, no round trip. */
export function createBuckets(leases: Leases): Buckets {
  const tenants = new Map<string, Partial<Record<Kind, Bucket>>>();

  function take(bucket: Bucket): boolean | Promise<boolean> {
    const now = performance.now();
    bucket.usedAt = now;
    if (leases.alone()) {
      refillAlone(bucket, now, leases.edges());
      return bucket.held >= 1 && use(bucket);
    }
    if (bucket.held >= 1) {
      use(bucket);
      if (bucket.held < leaseSize(bucket) / 2 && now >= bucket.dryUntil) void leases.ask(bucket, false);
      return true;
    }
    if (now < bucket.dryUntil) return false;
    const advance = Math.max(bucket.rate * ADVANCE_SECONDS, 1);
    if (1 - bucket.held <= advance && expected(bucket, now, leases.edges()) >= 1) {
      void leases.ask(bucket, false);
      return use(bucket);
    }
    // Afterwards there is something, or the bucket is known to be dry, or no source answered; or others who waited took it all.
    return leases.ask(bucket, true).then(() => take(bucket));
  }

  const sweep = setInterval(() => {
    const now = performance.now();
    for (const [tenantId, own] of tenants) {
      let latest = 0;
      for (const bucket of Object.values(own)) {
        latest = Math.max(latest, bucket.usedAt);
        if (bucket.held > 0 && now - bucket.usedAt > GIVE_BACK_MS && bucket.source !== null) leases.giveBack(bucket);
      }
      if (now - latest > FORGET_MS) tenants.delete(tenantId);
    }
  }, SWEEP_MS).unref();

  return {
    of({ tenantId, limits }, kind) {
      let own = tenants.get(tenantId);
      if (!own) {
        own = {};
        tenants.set(tenantId, own);
      }
      const { rate, burst } = limits[kind];
      own[kind] ??= createBucket(tenantId, kind, rate, burst);
      const bucket = own[kind];
      if (bucket.rate !== rate || bucket.burst !== burst) changeLimit(bucket, rate, burst);
      if (bucket.policy === '') bucket.policy = policyField(kind, rate, burst);
      return bucket;
    },
    take,
    charge(bucket, units) {
      if (units <= 0) return;
      bucket.held -= units;
      bucket.used += units;
      if (bucket.held < 0 && !leases.alone()) void leases.ask(bucket, false);
    },
    restore(bucket) {
      bucket.held = Math.min(bucket.held + 1, bucket.burst);
      bucket.used--;
    },
    left: (bucket) => expected(bucket, performance.now(), leases.edges()),
    stop() {
      clearInterval(sweep);
      for (const own of tenants.values()) {
        for (const bucket of Object.values(own)) if (bucket.held > 0 && bucket.source !== null) leases.giveBack(bucket);
      }
    },
  };
}
