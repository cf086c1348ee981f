import { createTurns, type Turn } from './turns.ts';

interface Request extends Turn {
  live: boolean;
  reject(error: unknown): void;
}

export interface LanesParts<T> {
  /** Under way at once. One of them is left to the live, and one to the others while any wait. */
  statements: number;
  /** Requests in one statement. */
  batch: number;
  /** Answers all of them; where it fails, they are rejected. */
  run(batch: T[]): Promise<void>;
}

/** Puts requests into statements: what is live by itself, so that it never waits for what streams have missed. */
export function createLanes<T extends Request>({ statements, batch, run }: LanesParts<T>) {
  const live = { turns: createTurns<T>(), underWay: 0 };
  const behind = { turns: createTurns<T>(), underWay: 0 };
  let isAwake = false;

  function start(lane: typeof live): void {
    const taken = lane.turns.take(batch);
    lane.underWay++;
    run(taken)
      .catch((error) => {
        for (const { reject } of taken) reject(error);
      })
      .finally(() => {
        lane.underWay--;
        next();
      });
  }

  function next(): void {
    isAwake = false;
    while (live.underWay + behind.underWay < statements) {
      const mostLive = behind.turns.size() > 0 ? statements - 1 : statements;
      if (live.turns.size() > 0 && live.underWay < mostLive) start(live);
      else if (behind.turns.size() > 0 && behind.underWay < statements - 1) start(behind);
      else return;
    }
  }

  return {
    add(request: T): void {
      (request.live ? live : behind).turns.add(request);
      // With all who ask in this turn.
      if (!isAwake) setImmediate(next);
      isAwake = true;
    },
  };
}
