/** Of whom a request is, and what it costs. */
export interface Turn {
  tenantId: string;
  /** Looks at many entries for few events. */
  searches: boolean;
}

/** Requests that wait. However many one tenant has, the others' go in between. */
export interface Turns<T extends Turn> {
  add(request: T): void;
  /** One of each tenant, then a second one, and so on up to `most`; of those that search, one of each tenant. */
  take(most: number): T[];
  size(): number;
}

export function createTurns<T extends Turn>(): Turns<T> {
  /** Whose turn it is, is first. */
  const waiting = new Map<string, T[]>();
  let size = 0;

  function takeOne(tenantId: string, searching: Set<string>): T | undefined {
    const own = waiting.get(tenantId) ?? [];
    const nth = searching.has(tenantId) ? own.findIndex(({ searches }) => !searches) : 0;
    const [request] = nth < 0 ? [] : own.splice(nth, 1);
    if (!request) return undefined;
    size--;
    if (request.searches) searching.add(tenantId);
    waiting.delete(tenantId);
    if (own.length > 0) waiting.set(tenantId, own);
    return request;
  }

  return {
    add(request) {
      size++;
      const own = waiting.get(request.tenantId);
      if (own) own.push(request);
      else waiting.set(request.tenantId, [request]);
    },
    take(most) {
      const taken: T[] = [];
      const searching = new Set<string>();
      for (let before = -1; before < taken.length && taken.length < most; ) {
        before = taken.length;
        for (const tenantId of [...waiting.keys()]) {
          if (taken.length === most) break;
          const request = takeOne(tenantId, searching);
          if (request) taken.push(request);
        }
      }
      return taken;
    },
    size: () => size,
  };
}
