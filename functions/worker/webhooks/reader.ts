import type { Logger } from '../../log.ts';
import type { createAsks, Look } from './asks.ts';
import { type Endpoint, forget } from './endpoint.ts';
import type { Asked } from './intake.ts';
import type { EndTurn, Pacing } from './pacing.ts';
import type { LeaseSession } from './session.ts';
import type { Claimed } from './store.ts';

const RECONNECT_MS = 250;
const NEVER = Number.POSITIVE_INFINITY;

export type Reader = ReturnType<typeof createReader>;

/** Reads what is due, one statement at a time, on the session that has the leases. */
export function createReader(options: {
  session: LeaseSession;
  lane: 'first' | 'backlog';
  look: ReturnType<typeof createAsks>;
  takeIn: (claimed: Claimed[], asked: Asked[]) => void;
  pacing: Pacing;
  log: Logger;
  /** There may be something to do. */
  pump: () => void;
}) {
  const { session, lane, look, takeIn, pacing, log, pump } = options;
  /** Recorded while a read was under way that may have begun before: it can still bring them, or what waits behind them as if it did not. */
  let recordedMeanwhile: [Endpoint, number][] = [];
  let claiming: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let turn: EndTurn | undefined;
  let turnWanted = false;
  let stopping = false;
  let failures = 0;
  let waitUntil = 0;
  /** Counts those that were lost. */
  let sessions = 0;

  /** Looks again then, for what is only a matter of time. */
  function arm(at: number): void {
    clearTimeout(timer);
    if (at === NEVER || stopping) return;
    timer = setTimeout(pump, Math.max(2, Math.min(at - Date.now(), 60_000)));
  }

  function wantTurn(): void {
    if (turnWanted) return;
    turnWanted = true;
    void pacing.turn().then((end) => {
      turnWanted = false;
      if (stopping) return end();
      turn = end;
      pump();
    });
  }

  function endTurn(): void {
    turn?.();
    turn = undefined;
  }

  async function claim({ releases, asked, moves }: Look): Promise<void> {
    const begunIn = sessions;
    try {
      const claimed = await session.claim(
        releases,
        asked.map(({ ask }) => ask),
      );
      failures = 0;
      for (const endpoint of begunIn === sessions ? moves : []) {
        endpoint.lane = lane === 'first' ? 'backlog' : 'first';
        if (lane === 'first') endpoint.wantAt = 0;
      }
      // Its leases have ended with it: what it read is somebody's, and not ours.
      if (begunIn === sessions) takeIn(claimed, asked);
      else for (const { endpoint } of asked) endpoint.wantAt = 0;
    } catch (error) {
      failures += 1;
      waitUntil = Date.now() + Math.min(5000, RECONNECT_MS * failures);
      log.warn({ error: (error as Error).message }, 'deliveries not read');
      for (const { endpoint } of asked) endpoint.wantAt = 0;
    }
  }

  return {
    /** Begins to read what is due, if nothing is being read. */
    read(): void {
      if (claiming || stopping) return;
      const now = Date.now();
      if (waitUntil > now) {
        endTurn();
        arm(waitUntil);
        return;
      }
      const found = look(now, turn !== undefined);
      const { asked, releases, next } = found;
      if (found.wantsTurn) wantTurn();
      if (asked.length === 0 && releases.length === 0) {
        endTurn();
        arm(next);
        return;
      }
      claiming = claim(found).finally(() => {
        claiming = undefined;
        endTurn();
        for (const [endpoint, position] of recordedMeanwhile) forget(endpoint, position);
        recordedMeanwhile = [];
        pump();
      });
    },

    /** Forgets a position that is recorded, unless the read that is under way has yet to answer. */
    settle(endpoint: Endpoint, position: number): void {
      if (claiming) recordedMeanwhile.push([endpoint, position]);
      else forget(endpoint, position);
    },

    /** The session is gone: what it still answers counts for nothing. */
    lose(): void {
      sessions += 1;
    },

    /** Begins no more, and waits for what is under way. */
    async stop(): Promise<void> {
      stopping = true;
      clearTimeout(timer);
      endTurn();
      await claiming;
    },
  };
}
