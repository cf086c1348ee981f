import { errors, type JSONWebKeySet, jwtVerify } from 'jose';
import { LRUCache } from 'lru-cache';
import type { Pool } from '../database.ts';
import { fromDatabase, RowhouseError } from '../errors.ts';
import type { Follower } from './follow/follower.ts';

/** Who asks, by a token that was issued. Whether it still holds is for the gate to say, on every request that reaches it. */
export interface Caller {
  /** The sealed token, also where an API key was sent. */
  token: string;
  tenantId: string | null;
  role: string;
  tenantRole: string | null;
  subject: string;
  tokenId: string;
  keyId?: string;
  /** In seconds since 1970. */
  expiresAt: number;
}

export interface Callers {
  /** @throws RowhouseError token_invalid, token_expired, database_unavailable */
  of(token: string): Caller | Promise<Caller>;
}

const KEPT = 20_000;
/** An unknown key may be one that was just made; asking for the keys each time would let anybody load the database. */
const RELOAD_MS = 1000;

const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);

/**
 * Tells tokens that were issued from forged ones, with the keys that PostgREST checks them with. It keeps forged claims out of
 * limits and caches; the wall is the seal inside the token, which only the database can check.
 */
export function createCallers(pool: Pool, follower: Follower): Callers {
  const known = new LRUCache<string, Caller>({ max: KEPT });
  let keys: Promise<Map<string, Uint8Array>> | undefined;
  let loadedAt = 0;

  const forget = () => {
    keys = undefined;
    known.clear();
  };
  follower.onChange(({ table }) => {
    if (table === 'auth.signing_keys') forget();
  });
  follower.onReset(forget);

  async function load() {
    loadedAt = Date.now();
    try {
      const { rows } = await pool.query<{ keyset: JSONWebKeySet }>('select auth.api_keyset() as keyset');
      const jwks = rows[0]?.keyset.keys ?? [];
      return new Map(jwks.map(({ kid = '', k = '' }) => [kid, Buffer.from(k, 'base64url')]));
    } catch (error) {
      keys = undefined;
      throw fromDatabase(error);
    }
  }

  async function verify(token: string, retry = true): Promise<Caller> {
    const used = keys ?? load();
    if (follower.isFollowing()) keys = used;
    try {
      const secrets = await used;
      const secretOf = ({ kid = '' }: { kid?: string }) => {
        const secret = secrets.get(kid);
        if (!secret) throw new errors.JWKSNoMatchingKey();
        return secret;
      };
      const { payload } = await jwtVerify(token, secretOf, {
        algorithms: ['HS256'],
        issuer: 'rowhouse',
        audience: 'rowhouse',
        requiredClaims: ['exp', 'sub', 'jti', 'role'],
      });
      const keyId = text(payload.key_id);
      const caller: Caller = {
        token,
        tenantId: text(payload.tenant_id),
        role: String(payload.role),
        tenantRole: text(payload.tenant_role),
        subject: String(payload.sub),
        tokenId: String(payload.jti),
        ...(keyId === null ? {} : { keyId }),
        expiresAt: Number(payload.exp),
      };
      if (used === keys) known.set(token, caller);
      return caller;
    } catch (error) {
      if (error instanceof errors.JWTExpired) {
        throw new RowhouseError('token_expired', { hint: 'get a new token' });
      }
      if (error instanceof errors.JWKSNoMatchingKey && retry && Date.now() - loadedAt > RELOAD_MS) {
        keys = undefined;
        return verify(token, false);
      }
      if (error instanceof errors.JOSEError) throw new RowhouseError('token_invalid', { cause: error });
      throw error;
    }
  }

  return {
    of(token) {
      const caller = known.get(token);
      if (!caller) return verify(token);
      if (caller.expiresAt * 1000 > Date.now()) return caller;
      throw new RowhouseError('token_expired', { hint: 'get a new token' });
    },
  };
}
