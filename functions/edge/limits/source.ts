import type { Kind } from './kind.ts';

/** What an edge asks of a shared bucket. */
export interface Ask {
  tenantId: string;
  kind: Kind;
  rate: number;
  burst: number;
  /** Used without a lease; below zero: given back. */
  owed: number;
  wanted: number;
  /** The most that is left, as an edge knows that comes from another source; else null. */
  ceiling: number | null;
}

export interface Lease {
  granted: number;
  /** What the shared bucket has left. */
  remaining: number;
}

/** Where buckets are shared between edges: PostgreSQL, or Redis. */
export interface BucketSource {
  readonly name: 'database' | 'redis';
  /** @returns for each ask its lease, undefined for an unknown tenant. Rejects when the source does not answer. */
  lease(asks: readonly Ask[]): Promise<(Lease | undefined)[]>;
  /** Says that this edge runs, or ends. Returns how many run. */
  attend(leaving: boolean): Promise<number>;
  close(): Promise<void>;
}

/** A source that takes longer is as good as gone. */
export const SOURCE_MS = 1000;
