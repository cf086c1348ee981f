import type { Pool } from 'undici';
import { type AddressOptions, createAddressPolicy } from './addresses.ts';
import { type Answer, Exchange, failureOf, NoAnswer } from './exchange.ts';
import { type Outcome, type Outgoing, SendFailure } from './outcome.ts';
import { createPools, type PoolLimits } from './pools.ts';
import { createTunnel, NO_TUNNEL, type ProxyOptions } from './proxy.ts';
import { createLookup, createResolver, type Lookup } from './resolve.ts';

export type { FailureReason, Outcome, Outgoing } from './outcome.ts';

/** In milliseconds. */
export interface StageTimeouts {
  dns: number;
  connect: number;
  tls: number;
  /** To the end of the answer's head, where the request itself says nothing else. */
  headers: number;
  body: number;
  /** For all of it, whatever the request says. */
  total: number;
}

export interface SenderOptions extends AddressOptions {
  proxy?: ProxyOptions;
  timeouts?: Partial<StageTimeouts>;
  limits?: Partial<PoolLimits>;
  /** Default: the name servers of the system. */
  lookup?: Lookup;
  /** Certificate authorities instead of those that Node knows. */
  ca?: string[];
  userAgent?: string;
}

export interface Sender {
  /**
   * Sends one request and gives what came of it; it rejects only where `signal` ends it, with its reason.
   * The receiver may have got the request with any outcome but address_refused, dns_failed, connect_… and tls_failed.
   */
  send(request: Outgoing, signal?: AbortSignal): Promise<Outcome>;
  /** Waits for what is in flight. */
  close(): Promise<void>;
  /** What is open at the moment. */
  size(): { origins: number; sockets: number };
}

/** Standard Webhooks: 15 to 30 s for the receiver. In total, as long as each stage of such a request may take. */
export const TIMEOUTS: StageTimeouts = {
  dns: 5000,
  connect: 5000,
  tls: 5000,
  headers: 15_000,
  body: 5000,
  total: 50_000,
};
const LIMITS: PoolLimits = {
  connectionsPerOrigin: 128,
  // Some 25 KB each.
  origins: 1024,
  sockets: 2048,
  keepAliveMs: 10_000,
  headerBytes: 16 * 1024,
};
const KEPT_BYTES = 1024;
const READ_BYTES = 64 * 1024;

/** What frames the request is ours to say. */
const FRAMING = /^(?:host|content-length|transfer-encoding|connection|keep-alive|upgrade|te|trailer|expect|proxy-.*)$/i;

/** Calls whoever waits on a signal, with one listener: a list of thousands is searched at each change. */
function createSignals() {
  const waiting = new WeakMap<AbortSignal, Set<Exchange>>();
  return (signal: AbortSignal): Set<Exchange> => {
    const known = waiting.get(signal);
    if (known) return known;
    const exchanges = new Set<Exchange>();
    const end = () => {
      for (const exchange of [...exchanges]) exchange.end(signal.reason);
    };
    waiting.set(signal, exchanges);
    signal.addEventListener('abort', end, { once: true });
    return exchanges;
  };
}

/**
 * Sends requests to addresses that strangers name: see docs/webhooks-security.md for what is refused.
 * @throws RangeError where an allowed network is none
 */
export function createSender(options: SenderOptions = {}): Sender {
  const timeouts = { ...TIMEOUTS, ...options.timeouts };
  const policy = createAddressPolicy({ ...options, ...(options.proxy && { nothingListens: NO_TUNNEL }) });
  const tunnel = options.proxy && createTunnel(options.proxy, timeouts.connect);
  const resolve = createResolver({ policy, lookup: options.lookup ?? createLookup(), timeoutMs: timeouts.dns });
  const pools = createPools(
    { ...LIMITS, ...options.limits },
    {
      resolve,
      timeoutMs: timeouts.connect,
      tlsTimeoutMs: timeouts.tls,
      ...(tunnel && { tunnel }),
      ...(options.ca && { ca: options.ca }),
    },
  );
  const limitsOf = ({ timeoutMs }: Outgoing) => ({
    headersMs: timeoutMs ?? timeouts.headers,
    bodyMs: timeouts.body,
    keptBytes: KEPT_BYTES,
    readBytes: READ_BYTES,
  });
  const userAgent = options.userAgent ?? 'Rowhouse-Webhooks';
  const waitersOf = createSignals();
  let closed = false;

  function checked({ url, headers }: Outgoing) {
    for (const name in headers) {
      if (FRAMING.test(name))
        throw new SendFailure('request_invalid', `the header ${name} is not for senders to choose`);
    }
    return policy.target(url);
  }

  function exchange(pool: Pool, path: string, outgoing: Outgoing, deadline: number, signal?: AbortSignal) {
    const { headers, body } = outgoing;
    const waiters = signal && waitersOf(signal);
    return new Promise<Answer>((resolve, reject) => {
      const taker = new Exchange(limitsOf(outgoing), deadline, (result) => {
        waiters?.delete(taker);
        if (result instanceof Error) reject(result);
        else resolve(result);
      });
      waiters?.add(taker);
      const request = { path, method: 'POST', headers: { 'user-agent': userAgent, ...headers }, body } as const;
      try {
        pool.dispatch(request, taker);
      } catch (error) {
        taker.end(failureOf(error as Error));
      }
    });
  }

  async function answerTo(request: Outgoing, deadline: number, signal?: AbortSignal): Promise<Answer> {
    const { origin: url, path } = checked(request);
    for (let again = true; ; again = false) {
      const origin = pools.of(url);
      // Once more, where the receiver may just have closed a connection that was idle: it does so at a moment of its own.
      const mayBeStale = again && origin.hasAnswered;
      try {
        const answer = await exchange(origin.pool, path, request, deadline, signal);
        origin.hasAnswered = true;
        return answer;
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error;
        origin.hasAnswered = false;
        if (!mayBeStale) throw error;
      }
    }
  }

  async function send(request: Outgoing, signal?: AbortSignal): Promise<Outcome> {
    signal?.throwIfAborted();
    if (closed) throw new Error('the sender is closed');
    const begun = performance.now();
    const latencyMs = () => Math.round(performance.now() - begun);
    try {
      const answer = await answerTo(request, begun + timeouts.total, signal);
      return { kind: 'response', ...answer, latencyMs: latencyMs() };
    } catch (error) {
      if (!(error instanceof SendFailure)) throw error;
      const { reason, message: detail, withheld } = error;
      return { kind: 'failed', reason, detail, ...(withheld !== undefined && { withheld }), latencyMs: latencyMs() };
    }
  }

  return {
    send,
    size: pools.size,
    async close() {
      closed = true;
      await pools.close();
      await tunnel?.close();
    },
  };
}
