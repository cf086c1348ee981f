import { RowhouseError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import type { Brake } from '../brake.ts';
import type { Answer, Exchange, Stage } from '../pipeline.ts';
import type { TenantSettings } from '../settings.ts';
import { type AddressLimit, createAddresses } from './addresses.ts';
import type { Bucket } from './bucket.ts';
import { createBuckets } from './buckets.ts';
import { limitField, secondsToMore } from './fields.ts';
import { type Kind, kindOf } from './kind.ts';
import { createLeases } from './leases.ts';
import type { Refusals } from './refusals.ts';
import { createShadow } from './shadow.ts';
import type { BucketSource } from './source.ts';
import { weigh } from './weigh.ts';

export interface RateLimiterParts {
  log: Logger;
  brake: Brake;
  /** Where buckets are shared, in the order of preference. */
  sources: readonly BucketSource[];
  /** Resources whose requests are expensive: EDGE_EXPENSIVE_ROUTES. */
  expensive: ReadonlySet<string>;
  /** For requests without a token. */
  address: AddressLimit;
  refusals: Refusals;
}

/** Since the start of this edge. */
export interface RateCounts {
  allowed: number;
  limited: number;
  /** Would have been limited, in shadow mode. */
  shadowed: number;
  /** Of all these, decided while no source answered. */
  estimated: number;
  /** Refused without a token. */
  addressLimited: number;
}

export interface RateLimiter {
  stage: Stage;
  /** Outside of whatever looks at credentials: what is refused before it is known whose it is takes from the address's bucket. */
  guard: Stage;
  /**
   * Takes one unit of the tenant's bucket, and says in `replyHeaders` what is left. Nothing to wait for where it returns nothing.
   * @throws RowhouseError rate_limited
   */
  take(settings: TenantSettings, kind: Kind, replyHeaders: Record<string, string>): Promise<void> | undefined;
  /** The unit that was taken was not for the tenant to pay. */
  restore(settings: TenantSettings, kind: Kind): void;
  /**
   * Takes one unit of the address's bucket: for requests without a token, and before a credential is looked up in the database.
   * @throws RowhouseError rate_limited
   */
  takeAddress(address: string, replyHeaders: Record<string, string>): Promise<void> | undefined;
  /**
   * Sets one unit of the address's bucket aside while a credential is looked up: one that is no good takes it afterwards.
   * @returns what gives it back
   * @throws RowhouseError rate_limited
   */
  holdAddress(address: string): () => void;
  counts: Readonly<RateCounts>;
  stop(): Promise<void>;
}

function refusal({ kind, rate, burst }: Bucket, units: number): RowhouseError {
  return new RowhouseError('rate_limited', {
    detail: `${kind}: ${rate} requests a second, at most ${burst} at once.`,
    hint: 'Wait as long as Retry-After says; the RateLimit field tells what is left.',
    headers: { 'Retry-After': String(secondsToMore(units, rate)) },
  });
}

/** The request says of itself that it is for another tenant than its token. */
export function isDisagreement(error: unknown): boolean {
  return error instanceof RowhouseError && (error.code === 'tenant_mismatch' || error.code === 'tenant_unknown');
}

/** Token buckets by tenant and kind of request, leased from a source that all edges share. */
export function createRateLimiter({
  log,
  brake,
  sources,
  expensive,
  address,
  refusals,
}: RateLimiterParts): RateLimiter {
  const leases = createLeases(sources, log);
  const buckets = createBuckets(leases);
  const addresses = createAddresses(address);
  const shadow = createShadow(log);
  const counts: RateCounts = { allowed: 0, limited: 0, shadowed: 0, estimated: 0, addressLimited: 0 };

  /** @throws RowhouseError rate_limited, at once or, where the tenant goes on asking, later */
  function conclude(
    bucket: Bucket,
    shadowed: boolean,
    replyHeaders: Record<string, string>,
    allowed: boolean,
  ): Promise<void> | undefined {
    // Refused means that there is none, whatever came back to the bucket since.
    const units = allowed ? buckets.left(bucket) : Math.min(buckets.left(bucket), 0);
    replyHeaders['ratelimit-policy'] = shadowed ? `${bucket.policy};rowhouse-shadow` : bucket.policy;
    replyHeaders.ratelimit = limitField(bucket.kind, units, bucket.rate);
    if (leases.alone()) counts.estimated++;
    if (allowed) {
      counts.allowed++;
      return undefined;
    }
    if (shadowed) {
      counts.shadowed++;
      shadow.note(bucket.tenantId, bucket.kind);
      return undefined;
    }
    counts.limited++;
    return refuse(bucket.tenantId, refusal(bucket, units));
  }

  function refuse(key: string, error: RowhouseError): Promise<never> {
    const held = brake.hold(key);
    if (!held) throw error;
    return held.then(() => {
      throw error;
    });
  }

  function takeFrom(
    bucket: Bucket,
    shadowed: boolean,
    replyHeaders: Record<string, string>,
  ): Promise<void> | undefined {
    const allowed = buckets.take(bucket);
    if (typeof allowed === 'boolean') return conclude(bucket, shadowed, replyHeaders, allowed);
    return allowed.then((later) => conclude(bucket, shadowed, replyHeaders, later));
  }

  const takeAddress: RateLimiter['takeAddress'] = (from, replyHeaders) => {
    const error = addresses.take(from, replyHeaders);
    if (!error) return undefined;
    counts.addressLimited++;
    return refuse(from, error);
  };

  /** The caller would spend what the tenant's members need: it is the address that pays. */
  async function blame({ request, settings, replyHeaders }: Exchange, bucket: Bucket | undefined): Promise<void> {
    // In shadow mode nothing may have been taken.
    if (bucket && !settings?.shadow) buckets.restore(bucket);
    await takeAddress(request.ip, replyHeaders);
  }

  /** @throws RowhouseError what the gate says, or rate_limited */
  async function refuseAgain(exchange: Exchange, refused: Promise<RowhouseError | undefined>): Promise<void> {
    const error = await refused;
    if (!error) return;
    await takeAddress(exchange.request.ip, exchange.replyHeaders);
    throw error;
  }

  /** Where it was the gate that refused the caller, the tenant does not pay, and the next request does not get there. */
  async function settle(exchange: Exchange, bucket: Bucket | undefined, answer: Answer, mark: number): Promise<void> {
    const { caller } = exchange;
    const refusal = caller && (await refusals.in(answer, caller));
    if (!refusal) return;
    refusals.note(caller, refusal, mark);
    await blame(exchange, bucket);
  }

  /** What the request takes from. An operator has no tenant, and no limit. */
  function bucketOf({ settings, method, path, headers }: Exchange): Bucket | undefined {
    return settings && buckets.of(settings, kindOf(method, path, headers, expensive));
  }

  return {
    counts,
    takeAddress,
    holdAddress: addresses.hold,
    take: (settings, kind, replyHeaders) => takeFrom(buckets.of(settings, kind), settings.shadow, replyHeaders),
    restore: (settings, kind) => buckets.restore(buckets.of(settings, kind)),
    async stage(exchange, next) {
      const { caller, settings, replyHeaders } = exchange;
      const refused = caller && refusals.of(caller);
      if (refused) await refuseAgain(exchange, refused);
      // Passes no gate, so nobody tells whether the caller is still a member.
      if (settings && exchange.method === 'OPTIONS') {
        await takeAddress(exchange.request.ip, replyHeaders);
        return next();
      }
      const bucket = bucketOf(exchange);
      const taken = bucket && takeFrom(bucket, settings?.shadow ?? false, replyHeaders);
      if (taken) await taken;
      const mark = refusals.mark();
      const started = performance.now();
      let answer: Answer;
      try {
        answer = await next();
      } catch (error) {
        if (isDisagreement(error)) await blame(exchange, bucket);
        throw error;
      }
      if (answer.status === 403 || answer.status === 401) await settle(exchange, bucket, answer, mark);
      if (!bucket || !settings?.weighted) return answer;
      const ms = performance.now() - started - (exchange.queuedMs ?? 0);
      return weigh(answer, ms, (units) => buckets.charge(bucket, units));
    },
    async guard(exchange, next) {
      try {
        return await next();
      } catch (error) {
        // From 500 on it is not the client's fault. A tenant that was deleted has no settings, and no bucket.
        const refused = error instanceof RowhouseError && error.status < 500;
        const isKnown = exchange.settings !== undefined || exchange.caller?.tenantId === null;
        if (refused && !isKnown) await takeAddress(exchange.request.ip, exchange.replyHeaders);
        throw error;
      }
    },
    async stop() {
      shadow.stop();
      buckets.stop();
      await leases.stop();
      await Promise.all(sources.map((source) => source.close()));
    },
  };
}
