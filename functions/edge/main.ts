import { setTimeout as delay } from 'node:timers/promises';
import { edgeSchema } from '../config.ts';
import { createPool } from '../database.ts';
import { superviseProcess } from '../process.ts';
import { createStorage } from '../storage/storage.ts';
import { createAdmission } from './admission/admission.ts';
import { createBrake } from './brake.ts';
import { createCache } from './cache/cache.ts';
import { createCallers } from './caller.ts';
import { createFollower } from './follow/follower.ts';
import { createBodyRoom, receiveBody } from './front-door/body.ts';
import { createCors } from './front-door/cors.ts';
import { createIdempotency } from './idempotency/idempotency.ts';
import { identify } from './identify.ts';
import { databaseBuckets } from './limits/database.ts';
import { createRateLimiter } from './limits/limiter.ts';
import { createRefusals } from './limits/refusals.ts';
import { limitStorage } from './limits/storage.ts';
import { createPools } from './pools/pools.ts';
import { createServer } from './server.ts';
import { createSettings } from './settings.ts';
import { createReader } from './stream/reader.ts';
import { createStreams } from './stream/streams.ts';
import { createHosts, resolveTenant } from './tenant-resolution.ts';
import { createTokens } from './tokens/tokens.ts';

/** Three read at once what is new, and one is left for those who come. */
const STREAM_CONNECTIONS = 4;

/** Loaded only where there is a Redis: the client takes 8 MB. */
async function redisSources(url: string | undefined) {
  if (url === undefined) return [];
  const { redisBuckets } = await import('./limits/redis.ts');
  return [redisBuckets(url)];
}

await superviseProcess(
  'edge',
  edgeSchema,
  async (config, log) => {
    const { EDGE_HOST: host, EDGE_PORT: port } = config;
    const pool = createPool(config.EDGE_DATABASE_URL, 'rowhouse-edge');
    const follower = createFollower({ connectionString: config.EDGE_DATABASE_URL, log });
    const settings = createSettings(pool, follower, config.EDGE_TENANT_DOMAIN);
    const callers = createCallers(pool, follower);
    const pools = await createPools({
      log,
      database: pool,
      follower,
      defaultUrl: config.POSTGREST_URL,
      defaultConnections: config.POSTGREST_CONNECTIONS,
      checkMs: config.POOL_CHECK_MS,
      replicaLagMs: config.POOL_REPLICA_LAG_MS,
    });
    const brake = createBrake();
    const refusals = createRefusals(follower, pool);
    const limiter = createRateLimiter({
      log,
      brake,
      sources: [...(await redisSources(config.REDIS_URL)), databaseBuckets(config.EDGE_DATABASE_URL)],
      expensive: config.EDGE_EXPENSIVE_ROUTES,
      address: { rate: config.EDGE_ADDRESS_RATE, burst: config.EDGE_ADDRESS_BURST },
      refusals,
    });
    const admission = createAdmission({
      brake,
      maxInFlight: config.EDGE_MAX_IN_FLIGHT,
      maxQueued: config.EDGE_MAX_QUEUED,
    });
    const tokens = createTokens({
      pool,
      follower,
      log,
      takeAddress: limiter.takeAddress,
      holdAddress: limiter.holdAddress,
      options: {
        tokenTtlSeconds: config.EDGE_TOKEN_TTL_SECONDS,
        refreshTtlSeconds: config.EDGE_REFRESH_TTL_SECONDS,
        jwksCooldownMs: config.EDGE_JWKS_COOLDOWN_SECONDS * 1000,
        allowHttp: config.EDGE_ALLOW_HTTP_ISSUERS,
      },
    });
    const { exchangeApiKey } = tokens;
    const cache = createCache({
      follower,
      pool,
      log,
      totalBytes: config.EDGE_CACHE_BYTES,
      patienceMs: config.EDGE_CACHE_PATIENCE_MS,
    });
    const hosts = createHosts(settings, { tenantDomain: config.EDGE_TENANT_DOMAIN, publicUrl: config.EDGE_PUBLIC_URL });
    const cors = createCors({
      settings,
      hosts,
      takeAddress: limiter.takeAddress,
      origins: config.EDGE_CORS_ORIGINS,
    });
    const bodyRoom = createBodyRoom(config.EDGE_BODIES_BYTES);
    const idempotency = createIdempotency({ pool });
    const streamPool = createPool(config.EDGE_DATABASE_URL, 'rowhouse-edge-streams', STREAM_CONNECTIONS);
    const streams = createStreams({
      log,
      follower,
      reader: createReader(streamPool),
      options: {
        pollMs: config.EDGE_STREAM_POLL_MS,
        heartbeatMs: config.EDGE_STREAM_HEARTBEAT_MS,
        most: config.EDGE_STREAMS_MAX,
        streamBytes: config.EDGE_STREAM_BYTES,
        totalBytes: config.EDGE_STREAMS_BYTES,
        stallMs: config.EDGE_STREAM_STALL_MS,
      },
    });
    const toTenant = [
      cors.stage,
      limiter.guard,
      identify({ callers, settings, exchangeApiKey }),
      limiter.stage,
      resolveTenant(hosts),
    ];
    const { server, drain } = createServer({
      log,
      pool,
      storage: await createStorage(config, config.EDGE_PUBLIC_URL ?? `http://${host}:${port}`),
      checkPools: pools.check,
      stages: [...toTenant, cache.stage, receiveBody(bodyRoom), admission.stage, idempotency.stage],
      // A stream is counted when it is opened; it holds no place among the requests in flight, which it would never give back.
      streams: { streams, stages: toTenant },
      forward: pools.forward,
      cors,
      timeouts: {
        headersMs: config.EDGE_HEADERS_TIMEOUT_MS,
        bodyMs: config.EDGE_BODY_TIMEOUT_MS,
        idleMs: config.EDGE_IDLE_TIMEOUT_MS,
      },
      bodyBytes: config.EDGE_BODY_BYTES,
      bodyRoom,
      uploads: {
        maxBytes: config.STORAGE_MAX_BYTES,
        urlTtlSeconds: config.STORAGE_URL_TTL_SECONDS,
        exchangeApiKey,
        hosts,
      },
      tokens,
    });
    limitStorage(server, { limiter, callers, settings, exchangeApiKey, hosts, refusals });
    await server.listen({ host, port });
    return {
      async stop() {
        drain();
        await delay(config.EDGE_DRAIN_DELAY_MS);
        await server.close();
        await tokens.stop();
        await pools.stop();
        await limiter.stop();
        await follower.stop();
        await streamPool.end();
        await pool.end();
      },
    };
  },
  (config) => config.EDGE_DRAIN_DELAY_MS,
);
