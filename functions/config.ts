import { z } from 'zod';
import { RowhouseError } from './errors.ts';

/** The only reader of the environment. Each process parses the part it needs, once, at start. */

const port = z.coerce.number().int().min(0).max(65535);
const url = z.url();

const log = {
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
};

const storage = {
  STORAGE_DRIVER: z.enum(['fs', 's3']).default('fs'),
  STORAGE_DIR: z.string().default('.rowhouse/storage'),
  /** Signs fs URLs. The embedded stack makes one; two edges must share it. */
  STORAGE_SECRET: z.string().min(32).optional(),
  STORAGE_URL_TTL_SECONDS: z.coerce.number().int().min(1).max(604_800).default(900),
  STORAGE_MAX_BYTES: z.coerce
    .number()
    .int()
    .positive()
    .default(5 * 1024 ** 3),
  S3_BUCKET: z.string().optional(),
  S3_REGION: z.string().default('us-east-1'),
  S3_ENDPOINT: url.optional(),
  S3_ACCESS_KEY_ID: z.string().optional(),
  S3_SECRET_ACCESS_KEY: z.string().optional(),
  S3_FORCE_PATH_STYLE: z.stringbool().default(false),
};

export const edgeSchema = z
  .object({
    EDGE_HOST: z.string().default('127.0.0.1'),
    EDGE_PORT: port.default(8080),
    /** Where clients reach this edge; signed URLs start with it. Default: http://EDGE_HOST:EDGE_PORT */
    EDGE_PUBLIC_URL: url.optional(),
    EDGE_DATABASE_URL: z.string(),
    /** Origins whose pages may call for tenants that name none: comma-separated, or *. Preflights to no tenant's host, too. */
    EDGE_CORS_ORIGINS: z
      .string()
      .default('')
      .transform((list) =>
        list
          .split(',')
          .map((origin) => origin.trim())
          .filter(Boolean),
      )
      .pipe(
        z.array(
          z.union([
            z.literal('*'),
            z.string().regex(/^https?:\/\/[\w.:-]+$/, 'an origin, such as https://app.example.com'),
          ]),
        ),
      ),
    /** What this edge keeps of answers, for all tenants together; each has a limit of its own within (tenancy.plans). */
    EDGE_CACHE_BYTES: z.coerce
      .number()
      .int()
      .min(0)
      .default(32 * 1024 ** 2),
    /** How long a GET waits to be told whether what is kept still holds; then it goes to PostgREST. */
    EDGE_CACHE_PATIENCE_MS: z.coerce.number().int().min(1).default(250),
    /** The largest body of a request; uploads have STORAGE_MAX_BYTES. */
    EDGE_BODY_BYTES: z.coerce
      .number()
      .int()
      .min(1024)
      .default(1024 ** 2),
    /** Bytes of bodies that this edge holds at once, for all tenants together; one has a quarter of it. */
    EDGE_BODIES_BYTES: z.coerce
      .number()
      .int()
      .min(4096)
      .default(64 * 1024 ** 2),
    /** How long a client may take for the head of a request, for its body, and for nothing at all. */
    EDGE_HEADERS_TIMEOUT_MS: z.coerce.number().int().min(100).default(15_000),
    EDGE_BODY_TIMEOUT_MS: z.coerce.number().int().min(100).default(30_000),
    EDGE_IDLE_TIMEOUT_MS: z.coerce.number().int().min(100).default(60_000),
    /** For so long after it was told to end, the edge still takes requests, while /readyz says that it is going. */
    EDGE_DRAIN_DELAY_MS: z.coerce.number().int().min(0).max(60_000).default(0),
    /** Tenants are reached at <slug>.EDGE_TENANT_DOMAIN. */
    EDGE_TENANT_DOMAIN: z.string().optional(),
    /** How long the tokens live that this edge exchanges something for, and the refresh tokens beside them. */
    EDGE_TOKEN_TTL_SECONDS: z.coerce.number().int().min(60).max(3600).default(900),
    EDGE_REFRESH_TTL_SECONDS: z.coerce.number().int().min(60).max(7_776_000).default(2_592_000),
    /** How soon an issuer's keys are fetched again for a key id that was not among them. */
    EDGE_JWKS_COOLDOWN_SECONDS: z.coerce.number().min(0).max(3600).default(30),
    /** Issuers over plain HTTP: for tests alone. */
    EDGE_ALLOW_HTTP_ISSUERS: z.stringbool().default(false),
    /** Rate limits are leased from this Redis or Valkey, and from PostgreSQL while it does not answer. */
    REDIS_URL: url.optional(),
    /** Resources whose requests take from the expensive limit, such as: job_findings,rpc/import */
    EDGE_EXPENSIVE_ROUTES: z
      .string()
      .default('')
      .transform(
        (names) =>
          new Set(
            names
              .split(',')
              .map((name) => name.trim().replace(/^\//, ''))
              .filter(Boolean),
          ),
      ),
    /** Requests a second of one address without a token, and how many at once. */
    EDGE_ADDRESS_RATE: z.coerce.number().positive().max(1_000_000).default(50),
    EDGE_ADDRESS_BURST: z.coerce.number().min(1).max(1_000_000).default(200),
    /** Requests that each pool of PostgREST gets from this edge at once, and how many wait for it. */
    EDGE_MAX_IN_FLIGHT: z.coerce.number().int().min(1).max(10_000).default(16),
    EDGE_MAX_QUEUED: z.coerce.number().int().min(0).max(100_000).default(2048),
    /** Streams of events: how often the ledger is looked at while there are any, and how often a quiet one says that it is there. */
    EDGE_STREAM_POLL_MS: z.coerce.number().int().min(10).max(10_000).default(100),
    EDGE_STREAM_HEARTBEAT_MS: z.coerce.number().int().min(100).max(600_000).default(15_000),
    /** Streams that this edge keeps open at once, for all tenants together; each has a limit of its own within. */
    EDGE_STREAMS_MAX: z.coerce.number().int().min(0).max(1_000_000).default(10_000),
    /** What one stream is given before its client has taken the rest, and what all of them may have so. */
    EDGE_STREAM_BYTES: z.coerce
      .number()
      .int()
      .min(16_384)
      .default(256 * 1024),
    EDGE_STREAMS_BYTES: z.coerce
      .number()
      .int()
      .min(65_536)
      .default(64 * 1024 ** 2),
    /** A client that takes nothing of what it was sent for so long is not waited for. */
    EDGE_STREAM_STALL_MS: z.coerce.number().int().min(500).max(600_000).default(30_000),
    /** The shared PostgREST while tenancy.pools has none: http://host:port, or unix:/path. */
    POSTGREST_URL: url.default('http://127.0.0.1:3000'),
    POSTGREST_CONNECTIONS: z.coerce.number().int().min(1).max(1024).default(64),
    /** How often a pool that answers nothing else is asked whether it is there. */
    POOL_CHECK_MS: z.coerce.number().int().min(50).max(60_000).default(2000),
    /** How far replicas may lag behind: for so long after a write, a tenant's reads go where writes go. */
    POOL_REPLICA_LAG_MS: z.coerce.number().int().min(0).max(600_000).default(2000),
    ...log,
    ...storage,
  })
  .refine(({ STORAGE_DRIVER, STORAGE_SECRET }) => STORAGE_DRIVER !== 'fs' || STORAGE_SECRET !== undefined, {
    path: ['STORAGE_SECRET'],
    message: 'required to sign URLs when STORAGE_DRIVER is fs',
  })
  .refine(({ EDGE_BODY_BYTES, EDGE_BODIES_BYTES }) => EDGE_BODIES_BYTES >= 4 * EDGE_BODY_BYTES, {
    path: ['EDGE_BODIES_BYTES'],
    message: 'has to be four times EDGE_BODY_BYTES at the least: a tenant has a quarter of it',
  });

/** Comma-separated. */
const list = z
  .string()
  .default('')
  .transform((text) =>
    text
      .split(',')
      .map((entry) => entry.trim())
      .filter(Boolean),
  );
/** A variable that is set to nothing, as docker compose does with one that is not set, is not set. */
const given = z
  .string()
  .transform((text) => text || undefined)
  .optional();

const webhooks = {
  /** Opens the secrets of endpoints: keys made by `rowhouse webhook-key`, the newest first. Without one, no webhook is sent. */
  WEBHOOK_PRIVATE_KEY: given,
  /** The same, in a file. */
  WEBHOOK_PRIVATE_KEY_FILE: given,
  /** Endpoints over plain HTTP: for tests and networks of your own. */
  WEBHOOK_ALLOW_HTTP: z.stringbool().default(false),
  /** Networks to deliver to although they are private, such as 10.1.0.0/16. */
  WEBHOOK_ALLOWED_NETWORKS: list,
  /** Ports that nothing is delivered to; default: those that browsers refuse. */
  WEBHOOK_REFUSED_PORTS: list.pipe(z.array(z.string().transform(Number).pipe(z.int().min(0).max(65_535)))),
  /** Deliveries go through this proxy. */
  WEBHOOK_PROXY_URL: given.pipe(z.url({ protocol: /^https?$/ }).optional()),
  /** The proxy resolves the names, and refuses what is private itself. */
  WEBHOOK_PROXY_RESOLVES: z.stringbool().default(false),
  /** For one attempt, all of it, whatever its endpoint leaves its receiver. Default: what all stages together may take. */
  WEBHOOK_TIMEOUT_MS: z.coerce.number().int().min(100).max(60_000).default(50_000),
  /**
   * Deliveries that this worker has under way at once, for all tenants together; each has a limit of its own within (tenancy.plans). Both are
   * each worker's: N workers have N times as many (docs/decisions/0009).
   */
  WEBHOOK_CONCURRENCY: z.coerce.number().int().min(1).max(10_000).default(256),
  /** Of the waits between attempts, 75 hours in all: below 1 in tests that cannot wait for days. */
  WEBHOOK_RETRY_SCALE: z.coerce.number().min(0.000001).max(1).default(1),
  /** After so many failures in a row nothing is sent to an endpoint for a while, then for twice as long, up to half an hour. */
  WEBHOOK_CIRCUIT_FAILURES: z.coerce.number().int().min(1).max(10_000).default(10),
  WEBHOOK_CIRCUIT_OPEN_MS: z.coerce.number().int().min(10).max(1_800_000).default(30_000),
  /** An endpoint is disabled when nothing has succeeded for so long, in at least so many attempts. */
  WEBHOOK_DISABLE_AFTER_HOURS: z.coerce.number().min(0).max(8760).default(120),
  WEBHOOK_DISABLE_ATTEMPTS: z.coerce.number().int().min(1).max(1_000_000).default(20),
};

export const workerSchema = z.object({
  WORKER_DATABASE_URL: z.string(),
  /** Slots of each type of job, in this worker. How many jobs of a type one tenant runs is counted over all workers. */
  WORKER_CONCURRENCY: z.coerce.number().int().min(1).max(256).default(4),
  /** Warn when entries of the ledger have waited so long for a consumer. */
  WORKER_LAG_SECONDS: z.coerce.number().int().min(1).max(86_400).default(60),
  /** A directory of job types beside those of functions/jobs. */
  JOBS_DIR: z.string().min(1).optional(),
  ...webhooks,
  ...log,
  ...storage,
});

export const stackSchema = z.object({
  /** A PostgREST to run instead of the one from npm, which exists for linux-x64 only. */
  POSTGREST_BIN: z.string().min(1).optional(),
});

export const cliSchema = z.object({
  /** The database that the CLI works on: a login that may take the role rowhouse_owner, such as rowhouse_migrator. */
  DATABASE_URL: z.string().min(1).optional(),
});

export type EdgeConfig = z.infer<typeof edgeSchema>;
export type WorkerConfig = z.infer<typeof workerSchema>;
export type WebhookConfig = Pick<WorkerConfig, keyof typeof webhooks>;
export type StorageConfig = Pick<EdgeConfig, keyof typeof storage>;

/**
 * Parses the environment.
 * @throws RowhouseError config_invalid naming every variable that is missing or wrong.
 */
export function readConfig<T>(schema: z.ZodType<T>, env: NodeJS.ProcessEnv = process.env): T {
  const parsed = schema.safeParse(env);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new RowhouseError('config_invalid', {
    detail: problems.join('; '),
    hint: 'Correct the variables named: docs/operations.md says what each is.',
  });
}
