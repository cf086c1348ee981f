import { setTimeout as sleep } from 'node:timers/promises';

export interface UntilOptions {
  timeoutMs: number;
  intervalMs?: number;
  signal?: AbortSignal;
}

/**
 * Asks again until the answer is true.
 * @returns false when the time was over or the signal fired first. What `check` throws ends the waiting.
 */
export async function until(check: () => boolean | Promise<boolean>, options: UntilOptions): Promise<boolean> {
  const { timeoutMs, intervalMs = 25, signal } = options;
  const end = performance.now() + timeoutMs;
  while (!signal?.aborted) {
    if (await check()) return true;
    if (performance.now() >= end) return false;
    await sleep(intervalMs);
  }
  return false;
}

/** Whether the URL answers 200 before the time is over. */
export function untilOk(url: string, options: UntilOptions): Promise<boolean> {
  return until(async () => {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
      await response.body?.cancel();
      return response.status === 200;
    } catch {
      return false;
    }
  }, options);
}
