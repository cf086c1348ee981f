import { RowhouseError } from '../../errors.ts';
import { takesBody } from '../forwarding.ts';
import type { Answer, Exchange, Forward } from '../pipeline.ts';
import { UpstreamError } from './failure.ts';
import { watchHealth } from './health.ts';
import { followPools, type MapParts } from './map.ts';
import { outgoing } from './outgoing.ts';
import { choose, type Groups } from './routes.ts';
import type { Upstream } from './upstream.ts';
import { followWrites } from './writes.ts';

export interface PoolsParts extends MapParts {
  /** How often a pool that nobody asks is asked whether it is there. */
  checkMs: number;
  /** How far replicas may lag behind. */
  replicaLagMs: number;
}

export interface Pools {
  /** The innermost step: sends a request to the pool of its tenant. @throws RowhouseError upstream_unavailable, request_invalid */
  forward: Forward;
  /** @throws RowhouseError upstream_unavailable unless requests that name no pool would be answered */
  check(): Promise<void>;
  /** Resolves when what is in flight has ended. */
  stop(): Promise<void>;
}

function unavailable(detail?: string, cause?: unknown): RowhouseError {
  return new RowhouseError('upstream_unavailable', {
    headers: { 'Retry-After': '1' },
    ...(detail ? { detail } : {}),
    cause: cause instanceof UpstreamError ? cause.cause : cause,
  });
}

/** PostgREST has lost its database, or has not loaded its schema. */
function isDown({ status, body }: Answer): boolean {
  return status === 503 && Buffer.isBuffer(body) && body.includes('"code":"PGRST00');
}

/** Every circuit is open: asks them all, since one of them may be back. */
async function revive(groups: Groups, tried: ReadonlySet<Upstream> | undefined): Promise<Upstream | undefined> {
  const away = groups.flat().filter((upstream) => !tried?.has(upstream));
  await Promise.all(away.map((upstream) => upstream.revive()));
  return choose(groups, tried);
}

export async function createPools({ checkMs, replicaLagMs, ...parts }: PoolsParts): Promise<Pools> {
  const map = await followPools(parts);
  const health = watchHealth(() => map.routes().upstreams, checkMs);
  const writes = followWrites(parts.follower, replicaLagMs);

  async function attempt(exchange: Exchange, groups: Groups, isRead: boolean): Promise<Answer> {
    // Read whole, so that it can be sent again elsewhere.
    const request = outgoing(exchange, takesBody(exchange.method) ? await exchange.body() : null);
    let tried: Set<Upstream> | undefined;
    let repeated = false;
    for (let failed: UpstreamError | undefined; ; ) {
      const upstream = choose(groups, tried) ?? (await revive(groups, tried));
      if (!upstream) throw unavailable(undefined, failed);
      // Not to the next group: what is too much for a dedicated pool would be for the shared ones, too, and for all others there.
      if (upstream.isFull()) throw unavailable('Too many requests wait for an answer.');
      try {
        const answer = await upstream.send(request, exchange.prefix);
        if (upstream.options.kind === 'replica') answer.fromReplica = true;
        if (!isRead || !isDown(answer)) return answer;
        tried = new Set(tried).add(upstream);
        if (!choose(groups, tried)) return answer;
      } catch (error) {
        if (!(error instanceof UpstreamError)) throw error;
        failed = error;
        if (error.failure === 'refused') throw new RowhouseError('request_invalid', { cause: error });
        const unsent = error.failure === 'unsent';
        if (!unsent && !isRead) throw unavailable('It is not known whether the request was carried out.', error);
        const elsewhere = new Set(tried).add(upstream);
        const hasElsewhere = choose(groups, elsewhere) !== undefined;
        // What was not sent may go wherever it has not been. A read is asked once more, too, and in the same place where there is no
        // other: it may have met a connection that was just closing.
        if (!(unsent && hasElsewhere)) {
          const isFinal = error.failure === 'late' || error.failure === 'unreadable';
          if (!isRead || repeated || isFinal) throw unavailable(undefined, error);
          repeated = true;
        }
        if (hasElsewhere) tried = elsewhere;
      }
    }
  }

  return {
    async forward(exchange) {
      const { method, settings } = exchange;
      const isRead = method === 'GET' || method === 'HEAD';
      const routes = map.routes();
      const route = routes.of(settings?.pool);
      if (!routes.hasReplicas) return attempt(exchange, isRead ? route.reads : route.writes, isRead);

      const tenantId = settings?.tenantId;
      if (isRead) return attempt(exchange, writes.has(tenantId) ? route.writes : route.reads, true);
      try {
        return await attempt(exchange, route.writes, false);
      } finally {
        // From when it was committed, which is before it was answered; one that failed may have been, too.
        if (tenantId !== undefined) writes.note(tenantId);
      }
    },
    async check() {
      const { upstreams } = map.routes();
      const shared = upstreams.filter(({ options }) => options.kind === 'shared');
      const answers = await Promise.all(shared.map((upstream) => upstream.probe()));
      if (!answers.includes(true)) throw unavailable();
    },
    async stop() {
      health.stop();
      await map.close();
    },
  };
}
