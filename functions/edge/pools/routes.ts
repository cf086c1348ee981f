import type { Upstream } from './upstream.ts';

/** Upstreams in order of preference: those of one group are equal, a later group is for when none of an earlier one answers. */
export type Groups = readonly (readonly Upstream[])[];

export interface Route {
  /** Of GET and HEAD. */
  reads: Groups;
  /** Of everything else, and of reads that have to see what was just written. */
  writes: Groups;
}

export interface Routes {
  upstreams: readonly Upstream[];
  hasReplicas: boolean;
  /** @param pool as the tenant's settings name it; a name that is not in the map is as none */
  of(pool: string | null | undefined): Route;
}

const isNotEmpty = (group: readonly Upstream[]) => group.length > 0;

/** @param upstreams at least one of them shared */
export function createRoutes(upstreams: readonly Upstream[]): Routes {
  const ofKind = (kind: Upstream['options']['kind']) => upstreams.filter(({ options }) => options.kind === kind);
  const shared = ofKind('shared');
  const replicas = ofKind('replica');
  const everybody: Route = { reads: [replicas, shared].filter(isNotEmpty), writes: [shared] };
  const named = new Map<string, Route>();
  for (const upstream of upstreams) {
    const rest = shared.filter((other) => other !== upstream);
    const own = [[upstream], rest].filter(isNotEmpty);
    const { name, kind } = upstream.options;
    named.set(name, { reads: own, writes: kind === 'replica' ? [shared] : own });
  }
  return {
    upstreams,
    hasReplicas: replicas.length > 0,
    of: (pool) => (pool == null ? everybody : (named.get(pool) ?? everybody)),
  };
}

/** The upstream with the fewest requests in flight, in the first group that has one which answers. */
export function choose(groups: Groups, tried?: ReadonlySet<Upstream>): Upstream | undefined {
  return (
    pick(groups, tried, (upstream) => upstream.isReady()) ?? pick(groups, tried, (upstream) => upstream.isClosed())
  );
}

function pick(groups: Groups, tried: ReadonlySet<Upstream> | undefined, isFit: (upstream: Upstream) => boolean) {
  for (const group of groups) {
    let best: Upstream | undefined;
    for (const upstream of group) {
      if (tried?.has(upstream) || !isFit(upstream)) continue;
      if (best === undefined || upstream.load.inFlight < best.load.inFlight) best = upstream;
    }
    if (best) return best;
  }
  return undefined;
}
