import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { RowhouseError } from '../errors.ts';
import { defineJob, JobFailure, type JobType, openInputFile } from '../job.ts';
import { jobSettingsSchema } from '../job-settings.ts';
import { DEAD, queueName } from './queue-settings.ts';

/** What a module is given that exports a function: it then needs nothing installed, and no path to this repository. */
const toolkit = { defineJob, JobFailure, openInputFile, z } as const;
export type JobToolkit = typeof toolkit;

const MODULE = /(?<!\.d|\.test)\.(ts|mts|js|mjs)$/;

const jobSchema = z.object({
  type: z
    .string()
    .max(60)
    .regex(/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$/, 'words of a-z, 0-9 and _, with dots between')
    .refine((type) => queueName(type) !== DEAD, 'the queue of the dead letters is called so'),
  description: z.string().min(1).max(500),
  input: z.custom((value) => typeof (value as z.ZodType | undefined)?.safeParse === 'function', 'a zod schema'),
  settings: jobSettingsSchema.optional(),
  run: z.custom((value) => typeof value === 'function', 'a function'),
});

function refuse(file: string, detail: string, cause?: unknown): never {
  throw new RowhouseError('config_invalid', {
    detail: `JOBS_DIR: ${file}: ${detail}`,
    hint: 'See "Adding a job type" in docs/jobs.md',
    cause,
  });
}

async function loadModule(file: string): Promise<JobType> {
  let exported: unknown;
  try {
    exported = (await import(pathToFileURL(file).href)).default;
    if (typeof exported === 'function') exported = await exported(toolkit);
  } catch (error) {
    refuse(file, `cannot be loaded: ${error instanceof Error ? error.message : error}`, error);
  }
  if (exported === undefined) refuse(file, 'has no default export');
  const parsed = jobSchema.safeParse(exported);
  if (parsed.success) return exported as JobType;
  const problems = parsed.error.issues.map(({ path: where, message }) => `${where.join('.') || 'default'}: ${message}`);
  return refuse(file, `is no job type: ${problems.join('; ')}`);
}

/**
 * The job types of a directory, one module each, beside those of this repository. Files that begin with _ or . are left to their
 * neighbours, and so are tests, declarations and directories.
 * @throws RowhouseError config_invalid, with the file and what is wrong with it
 */
export async function loadJobs(
  directory: string | undefined,
  own: ReadonlyMap<string, JobType>,
): Promise<ReadonlyMap<string, JobType>> {
  if (directory === undefined) return own;
  const entries = await readdir(directory, { withFileTypes: true }).catch((error) =>
    refuse(directory, `cannot be read: ${error.message}`, error),
  );
  const jobs = new Map(own);
  for (const { name } of entries
    .filter((entry) => !entry.isDirectory())
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    if (!MODULE.test(name) || /^[_.]/.test(name)) continue;
    const file = path.resolve(directory, name);
    const job = await loadModule(file);
    if (jobs.has(job.type)) refuse(file, `the type ${job.type} is there already`);
    jobs.set(job.type, job);
  }
  return jobs;
}
