/** Refusals of one tenant or address go out at this pace... */
const PACE_MS = 2;
/** ...after so many at once, and none is held for longer. */
const AT_ONCE = 10;
const LONGEST_MS = 1000;
/** Connections that wait for a held refusal, at most: some 20 KB each. */
const MOST_HELD = 2000;

export interface Brake {
  /** When a refusal may go out; nothing where that is now. */
  hold(key: string): Promise<void> | undefined;
}

/**
 * Holds back refusals. A client that asks again as soon as it was refused would otherwise keep the edge busy saying no:
 * 64 connections got 11,000 refusals a second, and everybody else's requests took five times as long.
 */
export function createBrake(): Brake {
  const nextAt = new Map<string, number>();
  let tidiedAt = 0;
  let held = 0;

  function tidy(now: number): void {
    if (now - tidiedAt < LONGEST_MS) return;
    tidiedAt = now;
    for (const [key, at] of nextAt) if (at < now - AT_ONCE * PACE_MS) nextAt.delete(key);
  }

  return {
    hold(key) {
      const now = performance.now();
      tidy(now);
      const earliest = now - AT_ONCE * PACE_MS;
      const at = Math.min(Math.max((nextAt.get(key) ?? earliest) + PACE_MS, earliest), now + LONGEST_MS);
      nextAt.set(key, at);
      if (at < now + 1 || held >= MOST_HELD) return undefined;
      held++;
      return new Promise((resolve) => {
        setTimeout(() => {
          held--;
          resolve();
        }, at - now);
      });
    },
  };
}
