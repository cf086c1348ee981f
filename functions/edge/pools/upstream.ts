import { CircuitState, ConsecutiveBreaker, circuitBreaker, handleWhen } from 'cockatiel';
import { Client, type Dispatcher, Pool } from 'undici';
import type { Logger } from '../../log.ts';
import type { Answer } from '../pipeline.ts';
import { AnswerHandler, type Load } from './answer.ts';
import { UpstreamError } from './failure.ts';

export interface UpstreamOptions {
  name: string;
  /** `http://host:port`, or `unix:/path`. */
  url: string;
  kind: 'shared' | 'dedicated' | 'replica';
  connections: number;
}

/** One PostgREST, with its connections and its circuit breaker. */
export interface Upstream {
  readonly options: UpstreamOptions;
  readonly load: Load;
  /** Its circuit is closed. */
  isClosed(): boolean;
  /** And it was not found to be starting or without a database. */
  isReady(): boolean;
  /** More requests wait for a connection than it could soon answer. */
  isFull(): boolean;
  /** @throws UpstreamError */
  send(request: Dispatcher.DispatchOptions, prefix: string): Promise<Answer>;
  /** Asks whether it is there, and closes or opens its circuit by the answer. Those who ask at the same time share one question. */
  probe(): Promise<boolean>;
  /** As probe(), unless the question under way has been out for long: then it is not waited for. */
  revive(): Promise<boolean>;
  /** Ends what is in flight, and then the connections. */
  close(): Promise<void>;
}

const FAILURES_TO_OPEN = 3;
const CONNECT_MS = 2000;
const PROBE_MS = 2000;
/** An upstream that has not answered a probe for so long hangs: requests are refused rather than kept waiting with it. */
const REVIVE_MS = 100;
/** Below PostgREST's own, so that a connection is not closed by it while a request is on the way. */
const KEEP_ALIVE_MS = 20_000;
const WAITING_PER_CONNECTION = 4;
/** PostgREST repeats a query in its Content-Location with every comma as `%2C`; a query has up to 16 KiB. */
const HEAD_BYTES = 64 * 1024;

function connectionTo(url: string) {
  if (!url.startsWith('unix:')) return { origin: url, connect: { timeout: CONNECT_MS } };
  return { origin: 'http://localhost', connect: { timeout: CONNECT_MS, socketPath: url.slice('unix:'.length) } };
}

export function createUpstream(options: UpstreamOptions, log: Logger): Upstream {
  const { name, connections } = options;
  const { origin, connect } = connectionTo(options.url);
  const settings = { connect, pipelining: 1, keepAliveTimeout: KEEP_ALIVE_MS };
  const pool = new Pool(origin, { ...settings, connections, maxHeaderSize: HEAD_BYTES });
  // A connection of its own: a pool whose connections are all in use is busy, not away.
  const prober = new Client(origin, { ...settings, headersTimeout: PROBE_MS, bodyTimeout: PROBE_MS });
  const load: Load = { inFlight: 0, answeredAt: 0 };
  const mostInFlight = connections * (1 + WAITING_PER_CONNECTION);
  let ready = true;
  let probing: Promise<boolean> | undefined;
  let probedAt = 0;

  // What depends on the request would let one tenant close the pool for others.
  const isFailure = (error: Error) =>
    !(error instanceof UpstreamError && (error.failure === 'refused' || error.failure === 'unreadable'));
  // Half-open at once: in front of an open circuit stand probes alone, never a request, and probes are spaced by whoever asks.
  const breaker = circuitBreaker(handleWhen(isFailure), {
    halfOpenAfter: 0,
    breaker: new ConsecutiveBreaker(FAILURES_TO_OPEN),
  });
  let away = false;
  breaker.onBreak((reason) => {
    // Told of each probe that fails, too.
    if (away) return;
    away = true;
    log.warn({ pool: name, cause: 'error' in reason ? reason.error.message : undefined }, 'a pool does not answer');
  });
  breaker.onReset(() => {
    away = false;
    log.info({ pool: name }, 'a pool answers again');
  });

  async function ask(): Promise<void> {
    const { statusCode, body } = await prober.request({ path: '/', method: 'HEAD' });
    await body.dump();
    load.answeredAt = performance.now();
    // Any refusal (there is no token) means that PostgREST has loaded its schema and reached the gate.
    const now = statusCode < 500;
    if (now !== ready) log.warn({ pool: name, status: statusCode }, now ? 'a pool is ready' : 'a pool is not ready');
    ready = now;
  }

  function probe(): Promise<boolean> {
    if (probing) return probing;
    probedAt = performance.now();
    probing = breaker
      .execute(ask)
      .then(
        () => ready,
        () => false,
      )
      .finally(() => {
        probing = undefined;
      });
    return probing;
  }

  return {
    options,
    load,
    isClosed: () => breaker.state === CircuitState.Closed,
    isReady: () => ready && breaker.state === CircuitState.Closed,
    isFull: () => load.inFlight >= mostInFlight,
    send: (request, prefix) =>
      breaker.execute(
        () =>
          new Promise((resolve, reject) => {
            pool.dispatch(request, new AnswerHandler(load, prefix, resolve, reject));
          }),
      ),
    probe,
    revive: () => (probing && performance.now() - probedAt > REVIVE_MS ? Promise.resolve(false) : probe()),
    async close() {
      await Promise.all([pool.close(), prober.destroy()]);
    },
  };
}
