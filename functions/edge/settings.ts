import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Pool } from '../database.ts';
import { fromDatabase, RowhouseError } from '../errors.ts';
import type { Follower } from './follow/follower.ts';

const bucket = z.object({ rate: z.number(), burst: z.number() });

/** What tenancy.settings_of() says: the tenant's plan, and its own settings over it. */
const settingsSchema = z.object({
  tenantId: z.string(),
  slug: z.string(),
  status: z.enum(['active', 'suspended']),
  tier: z.string(),
  limits: z.object({ read: bucket, write: bucket, expensive: bucket }),
  /** Rate limits are counted and logged, and let everything through. */
  shadow: z.boolean(),
  /** A large answer costs more than one token. */
  weighted: z.boolean(),
  /** Requests in flight at once; beyond them `queue` wait, for at most `queueMs`. */
  concurrency: z.number(),
  queue: z.number(),
  queueMs: z.number(),
  statementTimeoutMs: z.number(),
  cacheBytes: z.number(),
  /** Streams of events that this edge keeps open for the tenant. */
  openStreams: z.number(),
  cacheEnabled: z.boolean(),
  uncachedTables: z.array(z.string()),
  corsOrigins: z.array(z.string()),
  pool: z.string().nullable(),
});
export type TenantSettings = z.infer<typeof settingsSchema>;

export type Admit = () => Promise<void> | undefined;

export interface Settings {
  /** @throws RowhouseError tenant_unknown, database_unavailable */
  of(tenantId: string): TenantSettings | Promise<TenantSettings>;
  /**
   * The tenant whose host this is; null for no tenant's. Nothing to wait for where it is known.
   * @param admit is asked before the database is, and throws where it may not be
   */
  hostTenant(host: string, admit?: Admit): string | null | Promise<string | null>;
}

/** Ten thousand tenants' settings are about 10 MB. */
const KEPT = 10_000;

/**
 * Reads settings when they are first asked for, and forgets all of them when anything in the directory changes.
 * @param tenantDomain tenants are reached at `<slug>.<tenantDomain>`
 */
export function createSettings(pool: Pool, follower: Follower, tenantDomain: string | undefined): Settings {
  const known = new LRUCache<string, TenantSettings>({ max: KEPT });
  /** Tenants that are gone: their tokens may live on. */
  const unknown = new LRUCache<string, true>({ max: KEPT });
  const hosts = new LRUCache<string, { tenantId: string | null }>({ max: KEPT });
  const asked = new Map<string, Promise<TenantSettings>>();
  let forgotten = 0;
  const forget = () => {
    forgotten++;
    known.clear();
    unknown.clear();
    hosts.clear();
    asked.clear();
  };
  follower.onChange(({ tenantId, table }) => {
    if (tenantId === null) forget();
    else if (table === 'tenancy.tenant_settings') {
      known.delete(tenantId);
      asked.delete(tenantId);
    }
  });
  follower.onReset(forget);

  const first = async <T>(text: string, values: unknown[]): Promise<T | null> => {
    try {
      const { rows } = await pool.query<{ answer: T | null }>(text, values);
      return rows[0]?.answer ?? null;
    } catch (error) {
      throw fromDatabase(error);
    }
  };

  async function read(tenantId: string): Promise<TenantSettings> {
    const found = await first<unknown>('select tenancy.settings_of($1) as answer', [tenantId]);
    if (found === null) throw new RowhouseError('tenant_unknown');
    return settingsSchema.parse(found);
  }

  async function readHost(host: string, admit: Admit | undefined): Promise<string | null> {
    await admit?.();
    const suffix = `.${tenantDomain}`;
    const label = tenantDomain && host.endsWith(suffix) ? host.slice(0, -suffix.length) : null;
    const keep = follower.isFollowing();
    const before = forgotten;
    const tenantId = await first<string>('select tenancy.tenant_of_host($1, $2) as answer', [host, label]);
    if (keep && follower.isFollowing() && forgotten === before) hosts.set(host, { tenantId });
    return tenantId;
  }

  return {
    of(tenantId) {
      const settings = known.get(tenantId);
      if (settings) return settings;
      if (unknown.has(tenantId)) throw new RowhouseError('tenant_unknown');
      const under = asked.get(tenantId);
      if (under) return under;
      const keep = follower.isFollowing();
      const reading = read(tenantId);
      asked.set(tenantId, reading);
      // Only while nothing has changed since it was asked for.
      const current = () => asked.get(tenantId) === reading;
      reading.then(
        (answer) => {
          if (keep && current()) known.set(tenantId, answer);
          if (current()) asked.delete(tenantId);
        },
        (error) => {
          const isUnknown = error instanceof RowhouseError && error.code === 'tenant_unknown';
          if (keep && isUnknown && current()) unknown.set(tenantId, true);
          if (current()) asked.delete(tenantId);
        },
      );
      return reading;
    },
    hostTenant(host, admit) {
      const kept = hosts.get(host);
      return kept ? kept.tenantId : readHost(host, admit);
    },
  };
}
