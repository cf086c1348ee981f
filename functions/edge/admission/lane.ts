/** One who waits for a place: called with true when it has one, with false when it is sent away. */
type Waiter = (admitted: boolean) => void;

/** A tenant in a lane. */
export interface Line {
  readonly key: string;
  /** Requests that hold one of the tenant's places. */
  inFlight: number;
  /** Places that the tenant may have. */
  most: number;
  /** When it last got a place. */
  placedAt: number;
  readonly waiting: Set<Waiter>;
}

export interface LaneCounts {
  /** Whose answer PostgREST has not begun. */
  inFlight: number;
  waiting: number;
}

export interface Lane {
  line(key: string, most: number): Line;
  /** Takes a place, if the tenant and the pool have one and nobody of the tenant waits. */
  enter(line: Line): boolean;
  /**
   * Joins the tenant's queue.
   * @param length what the queue holds
   * @returns false when there is no room
   */
  queue(line: Line, length: number, waiter: Waiter): boolean;
  /** Leaves the queue; false when it had been called already. */
  leaveQueue(line: Line, waiter: Waiter): boolean;
  /** PostgREST has answered: its place is free. */
  answered(): void;
  /** The answer was read, or never came: the tenant's place is free. */
  leave(line: Line): void;
  counts(): LaneCounts;
}

/** Another tenant is about for so long after its last request. */
const ABOUT_MS = 1000;
/** While others are about, a tenant whose place is not free again after so long gets another. */
const PATIENCE_MS = 20;

/**
 * The way to one pool of PostgREST. Each tenant has its own queue, and free places go round the tenants that wait, one request
 * each: who sends a lot waits behind itself.
 *
 * Alone, a tenant has all its places. While others are about it starts with one, and gets the next when that was not enough: quick
 * requests one after the other leave the processors to the others' requests, and slow ones, which wait more than they work, still
 * fill all its places.
 * @param most requests that the pool takes at once, of all tenants
 * @param mostWaiting of all tenants; beyond them the longest queue gives way
 */
export function createLane(most: number, mostWaiting: number): Lane {
  const lines = new Map<string, Line>();
  /** Tenants that wait and may have another place, in their turn. */
  const ring = new Set<Line>();
  let inFlight = 0;
  let waiting = 0;
  let latest: string | undefined;
  let sharedUntil = 0;
  let patience: NodeJS.Timeout | undefined;

  function arrive({ key }: Line): void {
    if (key === latest) return;
    if (latest !== undefined) sharedUntil = performance.now() + ABOUT_MS;
    latest = key;
  }

  function hasPlace(line: Line): boolean {
    if (line.inFlight >= line.most) return false;
    if (line.inFlight === 0) return true;
    const now = performance.now();
    return now >= sharedUntil || now - line.placedAt >= PATIENCE_MS;
  }

  function tidy(line: Line): void {
    if (line.inFlight === 0 && line.waiting.size === 0) lines.delete(line.key);
  }

  function removeWaiter(line: Line, waiter: Waiter): void {
    line.waiting.delete(waiter);
    waiting--;
    if (line.waiting.size === 0) ring.delete(line);
    if (waiting === 0) clearInterval(patience);
  }

  function place(line: Line): void {
    inFlight++;
    line.inFlight++;
    line.placedAt = performance.now();
  }

  function next(): void {
    for (const line of ring) {
      if (inFlight >= most) return;
      // Back to the end of the ring, if it may come again: a set is iterated in the order of insertion.
      ring.delete(line);
      const [waiter] = line.waiting;
      if (!waiter || !hasPlace(line)) continue;
      removeWaiter(line, waiter);
      place(line);
      if (line.waiting.size > 0 && hasPlace(line)) ring.add(line);
      waiter(true);
    }
  }

  function lookAgain(): void {
    for (const line of lines.values()) if (line.waiting.size > 0) ring.add(line);
    next();
  }

  /** The newest of the longest queue goes, if that is longer than the one who asks would make its own. */
  function giveWay(line: Line): boolean {
    let longest = line;
    for (const other of lines.values()) if (other.waiting.size > longest.waiting.size) longest = other;
    if (longest.waiting.size <= line.waiting.size + 1) return false;
    const newest = [...longest.waiting].at(-1) as Waiter;
    removeWaiter(longest, newest);
    newest(false);
    return true;
  }

  return {
    line(key, limit) {
      let line = lines.get(key);
      if (!line) {
        line = { key, inFlight: 0, most: limit, placedAt: 0, waiting: new Set() };
        lines.set(key, line);
      }
      line.most = limit;
      return line;
    },
    enter(line) {
      arrive(line);
      if (inFlight >= most || line.waiting.size > 0 || !hasPlace(line)) return false;
      place(line);
      return true;
    },
    queue(line, length, waiter) {
      // Places that it does not get just now are as good as places in its queue.
      if (line.waiting.size >= length + line.most - line.inFlight || (waiting >= mostWaiting && !giveWay(line))) {
        tidy(line);
        return false;
      }
      line.waiting.add(waiter);
      if (waiting === 0) patience = setInterval(lookAgain, PATIENCE_MS).unref();
      waiting++;
      // The tenant may have been given more places meanwhile.
      ring.add(line);
      next();
      return true;
    },
    leaveQueue(line, waiter) {
      if (!line.waiting.has(waiter)) return false;
      removeWaiter(line, waiter);
      tidy(line);
      return true;
    },
    answered() {
      inFlight--;
      next();
    },
    leave(line) {
      line.inFlight--;
      if (line.waiting.size > 0) {
        ring.add(line);
        next();
      }
      tidy(line);
    },
    counts: () => ({ inFlight, waiting }),
  };
}
