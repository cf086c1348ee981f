import { hash } from 'node:crypto';
import { isIP } from 'node:net';
import { LRUCache } from 'lru-cache';
import type { Pool } from '../../database.ts';
import { fromDatabase, RowhouseError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import type { Follower } from '../follow/follower.ts';

/** What auth.exchange_api_key() returns. */
export interface ExchangedKey {
  token: string;
  tenant_id: string;
  key_id: string;
  scope: string;
  expires_in: number;
}

export interface ApiKeyParts {
  pool: Pool;
  follower: Follower;
  log: Logger;
  tokenTtlSeconds: number;
  /** Before a key that is not known is looked up. @returns what is to be called afterwards @throws RowhouseError rate_limited */
  holdAddress(address: string): () => void;
}

export interface ApiKeys {
  /**
   * The sealed token of a key that was sent as a bearer token; from memory, without a promise, where it is known.
   * @param address of the client, as the edge sees it
   * @throws RowhouseError api_key_invalid, address_refused, tenant_suspended, rate_limited, database_unavailable
   */
  tokenOf(key: string, address: string): string | Promise<string>;
  /** A token anew, of fewer scopes if asked for. Raises what tokenOf() raises, and scope_insufficient. */
  exchange(key: string, address: string, scopes?: string[]): Promise<ExchangedKey>;
  /** Tells the database of the last uses. */
  stop(): Promise<void>;
}

interface Known {
  token: string;
  tenantId: string;
  keyId: string;
  renewAt: number;
  usedAt: number;
}

const KEPT = 20_000;
const FORM = /^rh_live_[a-z0-9][a-z0-9_]{0,46}_[0-9a-f]{16}_[0-9a-f]{64}$/;
const RECORD_MS = 5000;
/** A client that goes on with a key that is no good is not looked up each time. A key never becomes good again. */
const REFUSED_MS = 1000;
const REFUSED_KEPT = 2000;

/** As PostgreSQL reads it: an IPv4 address that came over IPv6 is an IPv4 address. */
function inetOf(address: string): string | null {
  const plain = address.replace(/^::ffff:(?=[\d.]+$)/i, '').replace(/%.*$/, '');
  return isIP(plain) ? plain : null;
}

/**
 * Exchanges API keys and keeps their tokens until shortly before they end, until anything about the tenant's keys changes, or until a
 * signing key does. The gate looks the key up on every request: a token that is kept too long is refused there.
 */
export function createApiKeys({ pool, follower, log, tokenTtlSeconds, holdAddress }: ApiKeyParts): ApiKeys {
  const known = new LRUCache<string, Known>({ max: KEPT });
  const asked = new Map<string, Promise<string>>();
  const refused = new LRUCache<string, { error: RowhouseError; until: number }>({ max: REFUSED_KEPT });
  let used = new Set<Known>();

  // Asked anew, each when it is next used: that it was good a while ago is worth knowing.
  const doubt = (tenantId?: string | null) => {
    for (const key of known.values()) if (tenantId === undefined || key.tenantId === tenantId) key.renewAt = 0;
    asked.clear(); // what is under way may have been asked before the change
  };
  follower.onChange(({ tenantId, table }) => {
    if (table === 'auth.signing_keys') doubt();
    if (table === 'auth.api_keys') doubt(tenantId);
  });
  follower.onReset(() => doubt());

  async function exchange(key: string, address: string, scopes?: string[]): Promise<ExchangedKey> {
    if (!FORM.test(key)) throw new RowhouseError('api_key_invalid', { hint: 'check that the whole key was sent' });
    const text = 'select auth.exchange_api_key($1, $2::inet, $3, make_interval(secs => $4)) as exchanged';
    const values = [key, inetOf(address), scopes ?? null, tokenTtlSeconds];
    try {
      const { rows } = await pool.query<{ exchanged: ExchangedKey }>(text, values);
      return (rows[0] as { exchanged: ExchangedKey }).exchanged;
    } catch (error) {
      throw fromDatabase(error);
    }
  }

  function ask(name: string, key: string, address: string): Promise<string> {
    const under = asked.get(name);
    if (under) return under;
    // One that was good a while ago is renewed, whatever others at its address are up to.
    const done = known.has(name) ? () => {} : holdAddress(address);
    const asking = exchange(key, address).then(({ token, tenant_id, key_id, expires_in }) => {
      const now = Date.now();
      const renewAt = now + (expires_in - Math.min(60, expires_in / 5)) * 1000;
      if (asked.get(name) === asking)
        known.set(name, { token, tenantId: tenant_id, keyId: key_id, renewAt, usedAt: now });
      return token;
    });
    asked.set(name, asking);
    const end = (error?: unknown) => {
      done();
      if (asked.get(name) === asking) asked.delete(name);
      if (!(error instanceof RowhouseError)) return;
      if (error.status < 500) known.delete(name);
      if (error.code === 'api_key_invalid' || error.code === 'address_refused')
        refused.set(name, { error, until: Date.now() + REFUSED_MS });
    };
    asking.then(() => end(), end);
    return asking;
  }

  async function record(): Promise<void> {
    if (used.size === 0) return;
    const uses = Array.from(used, ({ tenantId, keyId, usedAt }) => ({
      tenant_id: tenantId,
      key_id: keyId,
      last_used_at: new Date(usedAt).toISOString(),
    }));
    const told = used;
    used = new Set();
    try {
      await pool.query('select auth.record_api_key_uses($1)', [JSON.stringify(uses)]);
    } catch (error) {
      log.warn({ cause: (error as Error).message }, 'the last uses of API keys are told later');
      for (const key of told) used.add(key);
    }
  }
  const timer = setInterval(() => void record(), RECORD_MS);
  timer.unref();

  return {
    exchange,
    tokenOf(key, address) {
      // The key itself is not kept in memory; one look-up costs about a microsecond.
      const name = hash('sha256', key, 'base64') + address;
      const found = known.get(name);
      const now = Date.now();
      if (!found || found.renewAt <= now) {
        const again = refused.get(name);
        if (again && again.until > now) throw again.error;
        return ask(name, key, address);
      }
      found.usedAt = now;
      used.add(found);
      return found.token;
    },
    async stop() {
      clearInterval(timer);
      await record();
    },
  };
}
