import {
  createRemoteJWKSet,
  customFetch,
  decodeJwt,
  errors,
  type FetchImplementation,
  jwtVerify,
  type RemoteJWKSet,
} from 'jose';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Pool } from '../../database.ts';
import { fromDatabase, RowhouseError } from '../../errors.ts';

/** A row of auth.issuers. */
interface Issuer {
  issuer: string;
  audiences: string[];
  algorithms: string[];
  jwks_uri: string | null;
}

export interface IssuerOptions {
  /** Issuers whose keys come over plain HTTP: for tests. */
  allowHttp: boolean;
  /** How soon after fetching an issuer's keys they are fetched again for a key id that is not among them. */
  jwksCooldownMs: number;
}

export interface Issuers {
  /**
   * Who a trusted issuer says that its JWT stands for.
   * @throws RowhouseError token_invalid, token_expired, issuer_unavailable, database_unavailable
   */
  verify(jwt: string): Promise<{ issuer: string; subject: string }>;
}

const FETCH_MS = 5000;
const DISCOVERED_MS = 3_600_000;
/** How long an issuer that did not answer is not asked again: anybody can send tokens that name it. */
const FAILED_MS = 2000;
/** Two clocks are never quite the same. */
const CLOCK_SECONDS = 5;

const jwksSchema = z.object({ keys: z.array(z.looseObject({})) });
const discoverySchema = z.object({ issuer: z.string(), jwks_uri: z.url() });

const invalid = (detail: string, cause?: unknown) => new RowhouseError('token_invalid', { detail, cause });
const unavailable = (cause: unknown) =>
  new RowhouseError('issuer_unavailable', { headers: { 'Retry-After': '5' }, cause });

/** As fetch(), for keys; a failure is the answer for a while. Others who ask meanwhile are jose's to keep together. */
function fetchKeys(): FetchImplementation {
  let failed: { cause: unknown; until: number } | undefined;
  return async (url, options) => {
    if (failed && performance.now() < failed.until) throw failed.cause;
    try {
      const answer = await fetch(url, options);
      if (answer.status !== 200) throw new Error(`${url} answered ${answer.status}`);
      return Response.json(jwksSchema.parse(await answer.json()));
    } catch (cause) {
      failed = { cause, until: performance.now() + FAILED_MS };
      throw cause;
    }
  };
}

/** Verifies JWTs of the issuers that operators trust, with keys that each of them publishes. */
export function createIssuers(pool: Pool, { allowHttp, jwksCooldownMs }: IssuerOptions): Issuers {
  const keysets = new LRUCache<string, Promise<RemoteJWKSet>>({ max: 100, ttl: DISCOVERED_MS });

  function checked(address: string): URL {
    const url = new URL(address);
    if (url.protocol !== 'https:' && !allowHttp) throw unavailable(new Error(`${url.origin} is not https`));
    return url;
  }

  /** OpenID Connect Discovery 1.0, 4. */
  async function discover(issuer: string): Promise<string> {
    const url = checked(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
    const answer = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(FETCH_MS) });
    if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
    const found = discoverySchema.parse(await answer.json());
    if (found.issuer !== issuer) throw new Error(`${url} speaks for ${found.issuer}`);
    return found.jwks_uri;
  }

  function keysOf({ issuer, jwks_uri }: Issuer): Promise<RemoteJWKSet> {
    const name = JSON.stringify([issuer, jwks_uri]);
    const known = keysets.get(name);
    if (known) return known;
    const fresh = (async () => {
      const url = checked(jwks_uri ?? (await discover(issuer)));
      const options = { cooldownDuration: jwksCooldownMs, timeoutDuration: FETCH_MS, [customFetch]: fetchKeys() };
      return createRemoteJWKSet(url, options);
    })();
    keysets.set(name, fresh);
    fresh.catch(() => keysets.set(name, fresh, { ttl: FAILED_MS }));
    return fresh;
  }

  async function trusted(jwt: string): Promise<Issuer> {
    let claimed: unknown;
    try {
      claimed = decodeJwt(jwt).iss;
    } catch (error) {
      throw invalid('not a compact JWS', error);
    }
    const text = 'select issuer, audiences, algorithms, jwks_uri from auth.issuers where issuer = $1 and enabled';
    const { rows } = await pool.query<Issuer>(text, [typeof claimed === 'string' ? claimed : '']).catch((error) => {
      throw fromDatabase(error);
    });
    if (!rows[0]) throw invalid('its issuer is not trusted here');
    return rows[0];
  }

  return {
    async verify(jwt) {
      const issuer = await trusted(jwt);
      const keys = await keysOf(issuer).catch((error) => {
        throw error instanceof RowhouseError ? error : unavailable(error);
      });
      try {
        const { payload } = await jwtVerify(jwt, keys, {
          issuer: issuer.issuer,
          audience: issuer.audiences,
          // Its name since RFC 9864.
          algorithms: issuer.algorithms.flatMap((name) => (name === 'EdDSA' ? [name, 'Ed25519'] : [name])),
          requiredClaims: ['exp', 'sub'],
          clockTolerance: CLOCK_SECONDS,
        });
        if (typeof payload.sub !== 'string' || !/^[^\p{Cc}]{1,150}$/u.test(payload.sub))
          throw invalid('its sub is not usable');
        return { issuer: issuer.issuer, subject: payload.sub };
      } catch (error) {
        if (error instanceof RowhouseError) throw error;
        if (error instanceof errors.JWTExpired) throw new RowhouseError('token_expired', { cause: error });
        if (error instanceof errors.JWTClaimValidationFailed)
          throw invalid(`its ${error.claim} is not as it has to be`, error);
        if (error instanceof errors.JOSEAlgNotAllowed) throw invalid('its algorithm is not allowed', error);
        if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
          throw invalid('its issuer has no such key', error);
        if (error instanceof errors.JWSSignatureVerificationFailed)
          throw invalid('the signature does not match', error);
        if (
          error instanceof errors.JWSInvalid ||
          error instanceof errors.JWTInvalid ||
          error instanceof errors.JOSENotSupported
        )
          throw invalid('not a JWT that can be verified', error);
        throw unavailable(error);
      }
    },
  };
}
