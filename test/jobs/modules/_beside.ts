import { setTimeout as delay } from 'node:timers/promises';

/** Runs for a while, and tells how many of its kind ran in this process when it began, itself included. */
export function besideEachOther(): (ms: number, signal: AbortSignal) => Promise<{ beside: number }> {
  let running = 0;
  return async (ms, signal) => {
    running += 1;
    const beside = running;
    try {
      await delay(ms, undefined, { signal });
      return { beside };
    } finally {
      running -= 1;
    }
  };
}
