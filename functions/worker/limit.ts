import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../log.ts';

/** An attempt that took too long. Another one may be quicker, so it counts and is tried again. */
export class AttemptTimeout extends Error {
  constructor(seconds: number) {
    super(`The attempt took longer than ${seconds} s`);
    this.name = 'AttemptTimeout';
  }
}

/** What a handler gets to end after its signal. Less than an interrupted worker waits (SETTLE_MS in queue.ts). */
const GRACE_MS = 2000;

/**
 * Runs a handler until it ends, its time is over, or one of `ends` aborts. One that does not heed its signal is left behind: its slot
 * is free again, and what it still calls of its context fails.
 * @throws AttemptTimeout, the reason of the signal that aborted, or what the handler throws
 */
export async function limitAttempt<T>(
  seconds: number,
  ends: AbortSignal[],
  log: Logger,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const expired = new AbortController();
  const timer = setTimeout(() => expired.abort(new AttemptTimeout(seconds)), seconds * 1000);
  const settled = new AbortController();
  const signal = AbortSignal.any([expired.signal, ...ends]);
  const running = (async () => run(signal))();
  const leftBehind = new Promise<never>((_, reject) => {
    const leave = async () => {
      await delay(GRACE_MS, undefined, { signal: settled.signal }).catch(() => {});
      if (settled.signal.aborted) return;
      log.error({ grace_ms: GRACE_MS }, 'the handler does not heed its signal and is left behind');
      reject(signal.reason);
    };
    if (signal.aborted) void leave();
    else signal.addEventListener('abort', () => void leave(), { once: true });
  });
  try {
    const result = await Promise.race([running, leftBehind]);
    signal.throwIfAborted();
    return result;
  } catch (error) {
    // Whatever a handler makes of its abortion, the reason is what counts.
    if (expired.signal.aborted) throw expired.signal.reason;
    throw error;
  } finally {
    clearTimeout(timer);
    settled.abort();
  }
}
