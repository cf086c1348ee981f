import { LRUCache } from 'lru-cache';
import { Pool } from 'undici';
import type { ConnectOptions } from './connect.ts';
import { createConnector } from './connect.ts';

export interface PoolLimits {
  /** Connections to one origin at once; more requests wait for one. */
  connectionsPerOrigin: number;
  /** Origins whose connections are kept; the one that was used least recently gives way. */
  origins: number;
  /** Open connections to all of them; above it, too, those used least recently give way. */
  sockets: number;
  keepAliveMs: number;
  /** The head of an answer. */
  headerBytes: number;
}

/** An origin that nothing was sent to for so long is forgotten; its connections have ended before. */
const FORGOTTEN_MS = 60_000;

export interface Origin {
  pool: Pool;
  /** It answered the last time, so that a connection may be open which it is about to close. */
  hasAnswered: boolean;
}

/** Keep-alive connections by origin, bounded in number. An origin that gives way ends what is in flight first. */
export function createPools(limits: PoolLimits, connecting: ConnectOptions) {
  const connect = createConnector(connecting);
  const closing = new Set<Promise<void>>();
  let sockets = 0;

  const pools = new LRUCache<string, Origin>({
    max: limits.origins,
    ttl: FORGOTTEN_MS,
    updateAgeOnGet: true,
    dispose({ pool }) {
      const closed = pool.close().finally(() => closing.delete(closed));
      closing.add(closed);
    },
  });
  const forgetting = setInterval(() => pools.purgeStale(), FORGOTTEN_MS).unref();

  function opened(): void {
    sockets++;
    // The one that connected is the newest of them.
    if (sockets > limits.sockets && pools.size > 1) pools.pop();
  }

  function create(url: string): Origin {
    const pool = new Pool(url, {
      connect,
      connections: limits.connectionsPerOrigin,
      pipelining: 1,
      keepAliveTimeout: limits.keepAliveMs,
      // A receiver may ask for less, and for no more.
      keepAliveMaxTimeout: limits.keepAliveMs,
      maxHeaderSize: limits.headerBytes,
      // The sender has timers of its own, for each stage.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    pool.on('connect', opened);
    pool.on('disconnect', () => sockets--);
    const origin = { pool, hasAnswered: false };
    pools.set(url, origin);
    return origin;
  }

  return {
    of: (url: string): Origin => pools.get(url) ?? create(url),
    size: () => ({ origins: pools.size, sockets }),
    /** Waits for what is in flight. */
    async close(): Promise<void> {
      clearInterval(forgetting);
      pools.clear();
      await Promise.all(closing);
    },
  };
}
