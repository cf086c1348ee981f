import type { Kind } from './kind.ts';

/** One edge's part of a tenant's token bucket: what it has leased, and what it knows of the rest. Times in ms, rates a second. */
export interface Bucket {
  readonly tenantId: string;
  readonly kind: Kind;
  rate: number;
  burst: number;
  /** Leased and not used yet. Below zero: used before it was leased. Without a source: what this edge allows by itself. */
  held: number;
  /** In the shared bucket, at `askedAt`. */
  left: number;
  askedAt: number;
  /** Nothing is to be had before. */
  dryUntil: number;
  usedAt: number;
  /** Used since `askedAt`, and what that comes to in a second, smoothed. */
  used: number;
  usage: number;
  /** Where the last lease was from; null: nowhere, limits are estimated here. Undefined: there was none yet. */
  source: string | null | undefined;
  /** The lease under way. */
  asking: Promise<void> | undefined;
  /** RateLimit-Policy, which changes only with the limit. */
  policy: string;
}

/** A lease lasts for about this long at the rate of use... */
const LEASE_SECONDS = 0.1;
/** ...and is no less than this much of the limit, so that a tenant with little traffic is not asked for at every request. */
const LEAST_SECONDS = 0.02;

export function createBucket(tenantId: string, kind: Kind, rate: number, burst: number): Bucket {
  return {
    tenantId,
    kind,
    rate,
    burst,
    held: 0,
    left: burst,
    askedAt: Number.NEGATIVE_INFINITY,
    dryUntil: 0,
    usedAt: 0,
    used: 0,
    usage: 0,
    source: undefined,
    asking: undefined,
    policy: '',
  };
}

/** The limit was changed: what is known of the bucket is kept, and asked for anew. */
export function changeLimit(bucket: Bucket, rate: number, burst: number): void {
  bucket.rate = rate;
  bucket.burst = burst;
  bucket.left = Math.min(bucket.left, burst);
  bucket.held = Math.min(bucket.held, burst);
  bucket.dryUntil = 0;
  bucket.policy = '';
}

/** How much to hold: more while it goes fast, never more than half of what the bucket can have. */
export function leaseSize({ rate, burst, usage }: Bucket): number {
  return Math.max(1, Math.min(Math.max(usage * LEASE_SECONDS, rate * LEAST_SECONDS), burst / 2));
}

/** What the tenant could use now, everything that others may have used since set aside. */
export function expected(bucket: Bucket, now: number, edges: number): number {
  const { held, left, askedAt, rate, burst, source } = bucket;
  if (source === null) return held * edges;
  if (askedAt === Number.NEGATIVE_INFINITY) return burst + held;
  return Math.min(burst, Math.min(burst, left + (rate * (now - askedAt)) / 1000) + held);
}

/** Takes in the answer to a lease. */
export function receive(bucket: Bucket, granted: number, remaining: number, wanted: number, now: number): void {
  const seconds = Math.max((now - bucket.askedAt) / 1000, 0.01);
  const usage = bucket.used / seconds;
  // Up at once, down slowly: too little held makes requests wait.
  bucket.usage = Math.max(usage, bucket.usage + (usage - bucket.usage) * Math.min(1, seconds));
  bucket.used = 0;
  bucket.held += granted;
  bucket.left = remaining;
  bucket.askedAt = now;
  const lacking = granted < wanted ? Math.max(1, Math.min(bucket.rate * 0.05, bucket.burst / 2)) - remaining : 0;
  // Looked at again after a second at the latest: another edge may have given something back.
  bucket.dryUntil = lacking > 0 ? now + Math.min((lacking / bucket.rate) * 1000, 1000) : 0;
}

/** Fills the share of a bucket that an edge allows by itself. */
export function refillAlone(bucket: Bucket, now: number, edges: number): void {
  const { rate, burst } = bucket;
  const most = Math.max(burst / edges, 1);
  if (bucket.source !== null) {
    bucket.held = Math.min(most, expected(bucket, now, edges) / edges);
    bucket.source = null;
  } else {
    bucket.held = Math.min(most, bucket.held + (rate / edges) * ((now - bucket.askedAt) / 1000));
  }
  bucket.askedAt = now;
}
