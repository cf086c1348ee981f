import { type Endpoint, hasNothing, isIdle } from './endpoint.ts';
import type { Shares } from './fairness.ts';
import type { Asked } from './intake.ts';
import type { Pacing } from './pacing.ts';
import { askOf, roomOf } from './read-ahead.ts';
import type { Ask } from './store.ts';
import { nextSendAt } from './take-next.ts';

/** What to read next, and for whom. */

const MOST_ASKS = 200;
/** Bodies read by one statement: a small tenant's claim waits for the one before it. */
const MOST_CLAIMED = 64;
const FORGET_MS = 5 * 60_000;
/** So many read and not begun are a backlog. */
const BACKLOG = 8;
/** After so many of one lease, it is one that others should not wait for. */
const LONG = 256;
const NEVER = Number.POSITIVE_INFINITY;

export interface Look {
  asked: Asked[];
  /** Leases to give back. */
  releases: string[];
  /** Those of them that are asked for on the other session next. */
  moves: Endpoint[];
  /** When to look again if there is nothing. */
  next: number;
  /** What there is has to wait for a turn. */
  wantsTurn: boolean;
}

/** @param lane of the session whose endpoints are looked at */
export function createAsks(options: {
  endpoints: Map<string, Endpoint>;
  shares: Shares;
  pacing: Pacing;
  lane: 'first' | 'backlog';
}) {
  const { endpoints, shares, pacing, lane } = options;
  let backlogNext = false;

  /** Looks at all endpoints. */
  function survey(now: number) {
    const releases: string[] = [];
    const moves: Endpoint[] = [];
    const asks: [Endpoint, Ask][] = [];
    const backlogged = new Set<string>();
    let next = NEVER;
    const shared = pacing.isShared();
    const hasRoom = roomOf(endpoints.values());
    for (const endpoint of endpoints.values()) {
      // What is paced has little in hand.
      const isSetAside = endpoint.setAsideUntil > now;
      const isBacklogged =
        isSetAside || endpoint.buffer.length >= BACKLOG || (endpoint.lane === 'backlog' && endpoint.leased);
      if (isBacklogged) backlogged.add(endpoint.tenant);
      if (endpoint.lane !== lane) continue;
      const leaves = lane === 'first' && shared && endpoint.leased && (isSetAside || endpoint.taken >= LONG);
      const ask = leaves ? undefined : askOf(endpoint, now, hasRoom(endpoint));
      if (ask) asks.push([endpoint, ask]);
      else if (endpoint.leased && (leaves ? hasNothing(endpoint) : isIdle(endpoint, now))) {
        releases.push(endpoint.id);
        endpoint.leased = false;
        if (leaves || lane === 'backlog') {
          endpoint.lane = 'between';
          moves.push(endpoint);
        }
      } else if (endpoint.wantAt === NEVER && isIdle(endpoint, now) && now - endpoint.usedAt > FORGET_MS) {
        endpoints.delete(endpoint.id);
      }
      if (endpoint.wantAt > now) next = Math.min(next, endpoint.wantAt);
      // Offered here, not by the timer: this look can come in its place, and then there is none.
      const sendAt = nextSendAt(endpoint, now);
      if (sendAt === NEVER) shares.offer(endpoint);
      else next = Math.min(next, sendAt);
    }
    return { releases, moves, asks, backlogged, next };
  }

  /** @param hasTurn whether work on backlogs may begin while the machine is shared */
  return (now: number, hasTurn: boolean): Look => {
    const { releases, moves, asks, backlogged, next } = survey(now);
    // One that another worker holds is asked for again and again, and nothing came of it.
    const isSmall = ([{ tenant, busyMs }]: [Endpoint, Ask]) =>
      busyMs === 0 && backlogged.size > 0 && !backlogged.has(tenant);
    if (lane === 'first' && asks.some(isSmall)) pacing.share();
    // Those with nothing in hand go first, and by themselves: they do not wait for the bodies of those with a backlog. Nor do those who have
    // none: what they have in hand may be sent long since, and wait to be recorded behind a thousand of the others.
    const starved = asks.filter((ask) => ask[0].known.size === 0 || isSmall(ask));
    const wantsTurn = lane === 'backlog' && asks.length > 0 && !hasTurn && pacing.isShared();
    const readsAhead = starved.length < asks.length && (backlogNext || starved.length === 0);
    const first = wantsTurn ? [] : readsAhead ? asks.filter(([endpoint]) => endpoint.known.size > 0) : starved;
    backlogNext = !readsAhead;
    const asked: Asked[] = [];
    let rows = 0;
    for (const [endpoint, ask] of first) {
      rows += ask.rows;
      if (asked.length > 0 && (asked.length >= MOST_ASKS || rows > MOST_CLAIMED)) break;
      asked.push({ endpoint, ask, wakes: endpoint.wakes });
      endpoint.wantAt = NEVER;
      endpoint.usedAt = now;
    }
    return { asked, releases, moves, next, wantsTurn };
  };
}
