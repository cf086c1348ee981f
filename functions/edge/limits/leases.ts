import type { Logger } from '../../log.ts';
import { type Bucket, expected, leaseSize, receive } from './bucket.ts';
import type { Ask, BucketSource } from './source.ts';

/** Leases are asked for together: at most one question is under way, and nobody waits for those so close to the last. */
const SPACING_MS = 10;
const PROBE_MS = 1000;
const ATTEND_MS = 2000;

export interface Leases {
  /**
   * Asks for a lease of the bucket, together with others; once, however often it is called.
   * @param urgent somebody waits for it
   * @returns when it was answered, or when nobody could answer
   */
  ask(bucket: Bucket, urgent: boolean): Promise<void>;
  /** Gives back what is held. */
  giveBack(bucket: Bucket): void;
  /** No source answers: the edge allows its share by itself. */
  alone(): boolean;
  /** How many edges share the limits, as last seen. */
  edges(): number;
  /** Resolves when what is under way and asked for has been answered. */
  stop(): Promise<void>;
}

interface Batch {
  buckets: Bucket[];
  asks: Ask[];
}

/** @param sources in the order of preference: where one does not answer the next is asked, until it does again */
export function createLeases(sources: readonly BucketSource[], log: Logger): Leases {
  const down = new Set<BucketSource>();
  const pending = new Map<Bucket, () => void>();
  const returning = new Set<Bucket>();
  const timers = new Set<NodeJS.Timeout>();
  let edges = 1;
  let flushing: Promise<void> | undefined;
  let flushTimer: NodeJS.Timeout | undefined;
  let flushedAt = 0;
  let stopped = false;

  function later(ms: number, work: () => void): NodeJS.Timeout {
    const timer = setTimeout(() => {
      timers.delete(timer);
      work();
    }, ms);
    timers.add(timer);
    return timer.unref();
  }

  const upstream = () => sources.find((source) => !down.has(source));

  /** Asked with nothing wanted, until it answers: requests never wait for a source that is down. */
  function probe(source: BucketSource, ask: Ask): void {
    if (stopped) return;
    later(PROBE_MS, () => {
      source.lease([{ ...ask, owed: 0, wanted: 0, ceiling: null }]).then(
        () => {
          down.delete(source);
          log.info({ source: source.name }, 'rate limits are shared again');
        },
        () => probe(source, ask),
      );
    });
  }

  function lose(source: BucketSource, error: unknown, ask: Ask): void {
    if (down.has(source)) return;
    down.add(source);
    const { message: cause } = error as Error;
    const next = upstream();
    if (next) log.warn({ source: source.name, next: next.name, cause }, 'rate limits are leased elsewhere');
    else log.warn({ source: source.name, edges, cause }, 'rate limits are estimated: no source of leases answers');
    probe(source, ask);
  }

  function collect(source: BucketSource, buckets: Bucket[]): Batch {
    const now = performance.now();
    const asks = buckets.map((bucket): Ask => {
      const { tenantId, kind, rate, burst } = bucket;
      // What is left there was not followed from here: it is at most what is expected.
      if (bucket.source !== undefined && bucket.source !== source.name) {
        const ceiling = expected(bucket, now, edges);
        return { tenantId, kind, rate, burst, owed: 0, wanted: leaseSize(bucket), ceiling };
      }
      const giving = returning.has(bucket) && bucket.held > 0;
      const owed = giving ? -bucket.held : Math.max(-bucket.held, 0);
      // What is given back cannot be used any more; what is owed stays owed until the answer is there.
      if (giving) bucket.held = 0;
      const wanted = giving ? 0 : Math.max(leaseSize(bucket) - Math.max(bucket.held, 0), 0);
      return { tenantId, kind, rate, burst, owed, wanted, ceiling: null };
    });
    return { buckets, asks };
  }

  async function lease(source: BucketSource, { buckets, asks }: Batch): Promise<boolean> {
    try {
      const leases = await source.lease(asks);
      const now = performance.now();
      for (const [nth, bucket] of buckets.entries()) {
        const { owed, wanted, ceiling } = asks[nth] as Ask;
        if (ceiling === null) bucket.held += Math.max(owed, 0);
        else bucket.held = 0;
        bucket.source = source.name;
        const { granted, remaining } = leases[nth] ?? { granted: 0, remaining: 0 };
        receive(bucket, granted, remaining, wanted, now);
      }
      return true;
    } catch (error) {
      for (const [nth, bucket] of buckets.entries()) bucket.held -= Math.min((asks[nth] as Ask).owed, 0);
      lose(source, error, asks[0] as Ask);
      return false;
    }
  }

  async function flush(): Promise<void> {
    const asked = [...pending];
    pending.clear();
    const buckets = asked.map(([bucket]) => bucket);
    for (let source = upstream(); source; source = upstream()) {
      if (await lease(source, collect(source, buckets))) break;
    }
    flushedAt = performance.now();
    for (const [bucket, answered] of asked) {
      bucket.asking = undefined;
      returning.delete(bucket);
      answered();
    }
  }

  function flushed(): void {
    flushing = undefined;
    if (pending.size > 0) schedule(0);
  }

  function schedule(ms: number): void {
    clearTimeout(flushTimer);
    const start = () => {
      flushTimer = undefined;
      // Not in flush() itself: without a source it ends before its promise is here, and none would follow it.
      if (!flushing && pending.size > 0) flushing = flush().finally(flushed);
    };
    flushTimer = setTimeout(start, ms);
  }

  function ask(bucket: Bucket, urgent: boolean): Promise<void> {
    if (!bucket.asking) {
      const { promise, resolve } = Promise.withResolvers<void>();
      bucket.asking = promise;
      pending.set(bucket, resolve);
    }
    const wait = urgent ? 0 : flushedAt + SPACING_MS - performance.now();
    if (!flushing && (urgent || !flushTimer)) schedule(Math.max(wait, 0));
    return bucket.asking;
  }

  const attend = setInterval(() => {
    upstream()
      ?.attend(false)
      .then(
        (seen) => {
          edges = Math.max(seen, 1);
        },
        () => {}, // the next lease notices
      );
  }, ATTEND_MS).unref();

  return {
    ask,
    giveBack(bucket) {
      if (bucket.asking) return;
      returning.add(bucket);
      void ask(bucket, false);
    },
    alone: () => upstream() === undefined,
    edges: () => edges,
    async stop() {
      stopped = true;
      clearInterval(attend);
      for (const timer of timers) clearTimeout(timer);
      clearTimeout(flushTimer);
      await flushing;
      if (pending.size > 0) await flush();
      clearTimeout(flushTimer);
      await upstream()
        ?.attend(true)
        .catch(() => {});
    },
  };
}
