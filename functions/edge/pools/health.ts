import type { Upstream } from './upstream.ts';

const AWAY_MS = 500;

/**
 * Asks each pool that has not answered anything for `quietMs` whether it is there, and one that is away twice a second. A pool that
 * answers requests is not asked: under load a question waits like any request, and would say that the pool is away.
 */
export function watchHealth(upstreams: () => readonly Upstream[], quietMs: number): { stop(): void } {
  const timer = setInterval(
    () => {
      const now = performance.now();
      for (const upstream of upstreams()) {
        if (!upstream.isReady() || now - upstream.load.answeredAt >= quietMs) void upstream.probe();
      }
    },
    Math.min(AWAY_MS, quietMs),
  );
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
