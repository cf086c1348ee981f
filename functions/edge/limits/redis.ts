import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { type Ask, type BucketSource, type Lease, SOURCE_MS } from './source.ts';

/** metering.lease(), for one bucket, by the clock of Redis. A key that is not there is a full bucket. */
const LEASE = `
local rate, burst, owed, wanted, ceiling = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stored = redis.call('HMGET', KEYS[1], 'units', 'refilled')
local units, refilled = tonumber(stored[1]) or burst, tonumber(stored[2]) or now
now = math.max(now, refilled)
units = math.min(burst, ceiling or burst, units - owed + rate * (now - refilled) / 1000000)
units = math.max(units, -math.max(burst, 60 * rate))
local granted = math.max(math.min(wanted, units), 0)
local remaining = units - granted
redis.call('HSET', KEYS[1], 'units', string.format('%.6f', remaining), 'refilled', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - remaining) / rate * 1000) + 60000)
return { string.format('%.6f', granted), string.format('%.6f', remaining) }`;

const ATTEND = `
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 10)
if ARGV[2] == '1' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return redis.call('ZCARD', KEYS[1]) + 1
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
return redis.call('ZCARD', KEYS[1])`;

interface Scripts {
  lease(key: string, ...values: (string | number)[]): Promise<[string, string]>;
  attend(key: string, edge: string, leaving: string): Promise<number>;
}

/** Buckets in Redis or Valkey (5 or newer: the script reads the time and then writes). */
export function redisBuckets(url: string): BucketSource {
  const edgeId = randomUUID();
  const redis = new Redis(url, {
    scripts: { lease: { lua: LEASE, numberOfKeys: 1 }, attend: { lua: ATTEND, numberOfKeys: 1 } },
    keyPrefix: 'rowhouse:',
    connectionName: 'rowhouse-edge',
    connectTimeout: SOURCE_MS,
    commandTimeout: SOURCE_MS,
    maxRetriesPerRequest: 0,
    // What waited for a connection would be charged long after it was used.
    enableOfflineQueue: false,
    lazyConnect: true,
    retryStrategy: (times: number) => Math.min(times * 100, SOURCE_MS),
  });
  redis.on('error', () => {}); // every command reports it
  const scripts = redis as unknown as Scripts;
  let connecting: Promise<unknown> | undefined;
  const connected = () => {
    connecting ??= redis.connect().catch(() => {});
    return connecting;
  };

  async function leaseOne({ tenantId, kind, rate, burst, owed, wanted, ceiling }: Ask): Promise<Lease> {
    const values = [rate, Math.max(burst, 1), owed, wanted, ceiling ?? ''];
    const [granted, remaining] = await scripts.lease(`bucket:${tenantId}:${kind}`, ...values);
    return { granted: Number(granted), remaining: Number(remaining) };
  }

  return {
    name: 'redis',
    // Written together: ioredis sends what is asked for in one turn as one packet.
    lease: async (asks) => {
      await connected();
      return Promise.all(asks.map(leaseOne));
    },
    attend: async (leaving) => {
      await connected();
      return scripts.attend('edges', edgeId, leaving ? '1' : '0');
    },
    async close() {
      redis.disconnect();
    },
  };
}
