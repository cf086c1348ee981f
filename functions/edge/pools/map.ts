import type { Pool } from '../../database.ts';
import type { Logger } from '../../log.ts';
import type { Follower } from '../follow/follower.ts';
import { createRoutes, type Routes } from './routes.ts';
import { createUpstream, type Upstream, type UpstreamOptions } from './upstream.ts';

export interface MapParts {
  log: Logger;
  database: Pool;
  follower: Pick<Follower, 'onChange' | 'onReset'>;
  /** Of the shared PostgREST while tenancy.pools has none. */
  defaultUrl: string;
  defaultConnections: number;
}

/** The pools of tenancy.pools as they are now. */
export interface PoolMap {
  routes(): Routes;
  /** Ends what is in flight, in those that were taken out of the map, too. */
  close(): Promise<void>;
}

const RETRY_MS = 1000;

const keyOf = ({ name, url, kind, connections }: UpstreamOptions) => `${name} ${url} ${kind} ${connections}`;

/** Reads tenancy.pools, and again when it changes. Without an answer the map stays as it was. */
export async function followPools({ log, database, follower, ...fallback }: MapParts): Promise<PoolMap> {
  const closing = new Set<Promise<void>>();
  let current = new Map<string, Upstream>();
  let routes = apply([]);
  let reading: Promise<void> | undefined;
  let again = false;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  function apply(rows: readonly UpstreamOptions[]): Routes {
    const wanted = rows.some(({ kind }) => kind === 'shared')
      ? rows
      : [
          ...rows,
          { name: '', url: fallback.defaultUrl, kind: 'shared', connections: fallback.defaultConnections } as const,
        ];
    const kept = new Map(wanted.map((row) => [keyOf(row), current.get(keyOf(row)) ?? createUpstream(row, log)]));
    for (const [key, upstream] of current) if (!kept.has(key)) retire(upstream);
    current = kept;
    return createRoutes([...kept.values()]);
  }

  function retire(upstream: Upstream): void {
    const ended = upstream.close().finally(() => closing.delete(ended));
    closing.add(ended);
  }

  async function read(): Promise<void> {
    try {
      do {
        again = false;
        const { rows } = await database.query<UpstreamOptions>('select * from tenancy.enabled_pools()');
        if (closed) return;
        routes = apply(rows);
      } while (again);
    } catch (error) {
      if (closed) return;
      log.warn({ cause: (error as Error).message }, 'the map of pools cannot be read');
      clearTimeout(timer);
      timer = setTimeout(reload, RETRY_MS);
      timer.unref();
    }
  }

  /** One at a time: answers of two at once could be applied in the wrong order. */
  function reload(): void {
    again = true;
    reading ??= read().finally(() => {
      reading = undefined;
    });
  }

  follower.onChange(({ tenantId, table }) => {
    if (tenantId === null && table === 'tenancy.pools') reload();
  });
  follower.onReset(reload);
  reload();
  await reading;

  return {
    routes: () => routes,
    async close() {
      closed = true;
      clearTimeout(timer);
      await reading;
      for (const upstream of current.values()) retire(upstream);
      await Promise.all(closing);
    },
  };
}
