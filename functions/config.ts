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
    POSTGREST_URL: url.default('http://127.0.0.1:3000'),
    ...log,
    ...storage,
  })
  .refine(({ STORAGE_DRIVER, STORAGE_SECRET }) => STORAGE_DRIVER !== 'fs' || STORAGE_SECRET !== undefined, {
    path: ['STORAGE_SECRET'],
    message: 'required to sign URLs when STORAGE_DRIVER is fs',
  });

export const workerSchema = z.object({
  WORKER_DATABASE_URL: z.string(),
  WORKER_CONCURRENCY: z.coerce.number().int().min(1).max(256).default(4),
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
    hint: 'Set the variables named, or run the embedded stack with: npm start',
  });
}
