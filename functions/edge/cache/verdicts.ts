import { LRUCache } from 'lru-cache';
import type { Caller } from '../caller.ts';
import type { Tenant } from './store.ts';

type From = { ip: string };

/** That the database let a token in, for as long as nothing changes that it decides by. */
export interface Verdict {
  tenant: Tenant;
  authority: number;
  keys: number;
  /** Whose answers the token may be given. */
  audience: string;
  expiresAt: number;
}

/** Which tokens the database has let in. A token that it has not seen is given nothing that is kept. */
export interface Verdicts {
  /** Undefined unless it still holds. */
  of(caller: Caller, request: From, tenant: Tenant): Verdict | undefined;
  /** To be drawn up before the request is forwarded, and passed once the database has let it in. */
  draft(caller: Caller, tenant: Tenant): Verdict;
  pass(caller: Caller, request: From, verdict: Verdict): void;
  holds(verdict: Verdict): boolean;
  /** Signing keys or operators have changed. */
  keysChanged(): void;
}

const KEPT = 20_000;
/** The database ends a token by its own clock, and ours may be behind it: in its last moments only the database answers. */
const MARGIN_MS = 2000;

/** An API key can be bound to networks: its token is let in from one address at a time. */
const nameOf = ({ token, keyId }: Caller, from: From) => (keyId === undefined ? token : `${token} ${from.ip}`);

/** Whoever has the same of these is answered the same by the same tenant's tables. */
export function audienceOf({ role, tenantRole, subject, keyId, tokenId }: Caller): string {
  // Two tokens of one API key can have different scopes, which the gate makes ranks of.
  return JSON.stringify([role, tenantRole, subject, keyId === undefined ? null : tokenId]);
}

export function createVerdicts(): Verdicts {
  const known = new LRUCache<string, Verdict>({ max: KEPT });
  let keys = 0;

  const holds = (verdict: Verdict) =>
    verdict.authority === verdict.tenant.authority &&
    verdict.keys === keys &&
    verdict.expiresAt - MARGIN_MS > Date.now();

  return {
    of(caller, request, tenant) {
      const verdict = known.get(nameOf(caller, request));
      return verdict?.tenant === tenant && holds(verdict) ? verdict : undefined;
    },
    draft: (caller, tenant) => ({
      tenant,
      authority: tenant.authority,
      keys,
      audience: audienceOf(caller),
      expiresAt: caller.expiresAt * 1000,
    }),
    pass(caller, request, verdict) {
      known.set(nameOf(caller, request), verdict);
    },
    holds,
    keysChanged() {
      keys += 1;
    },
  };
}
