import type { Readable } from 'node:stream';
import { z } from 'zod';
import type { Client } from './database.ts';
import { RowhouseError } from './errors.ts';
import type { DeclaredSettings } from './job-settings.ts';
import type { Logger } from './log.ts';

/** Why a job ended for good. Stable codes: they become `app.jobs.error.code`. */
export const JOB_FAILURES = {
  job_type_unknown: 'No such job type',
  job_input_invalid: 'The job input is not valid',
  file_not_found: 'No such file',
  file_pending: 'The file has not been uploaded yet',
  file_empty: 'The file holds no data',
  file_unreadable: 'The file is not a readable text file',
  field_too_large: 'The file has rows that are too large to read',
} as const satisfies Record<string, string>;

export type JobFailureCode = keyof typeof JOB_FAILURES;

/** Of a message that a tenant reads: an input can be wrong in ten thousand places. */
const MESSAGE_LENGTH = 4000;

/** What jsonb can hold, and in no more room than its row has for it: a name in an input may be all control characters, or cut in half. */
const printable = (text: string) => text.toWellFormed().replaceAll(/[^\P{Cc}\t\n\r]/gu, '\u{fffd}');

/** Ends a job as failed, without another attempt: the same input would fail again. Any other error is retried. */
export class JobFailure extends Error {
  readonly code: string;

  /**
   * @param code one of JOB_FAILURES, or a stable code of the type's own: a-z, 0-9 and _
   * @param detail what happened this time and what to do about it; the tenant reads it.
   */
  constructor(code: JobFailureCode | (string & {}), detail?: string, options: { cause?: unknown } = {}) {
    if (!/^[a-z][a-z0-9_]{0,59}$/.test(code)) throw new TypeError(`not the code of a failure: ${code}`);
    const known = Object.hasOwn(JOB_FAILURES, code) ? JOB_FAILURES[code as JobFailureCode] : code;
    super(printable((detail ?? known).slice(0, MESSAGE_LENGTH)), options);
    this.name = 'JobFailure';
    this.code = code;
  }
}

export interface Finding {
  /** Position among the findings of the job, from 0. The same on every attempt, so a retry inserts the same rows. */
  ordinal: number;
  /** Data row, from 1, the header not counted; null when the finding is about the whole file. */
  row: number | null;
  column_name: string | null;
  rule: string;
  severity: 'error' | 'warning';
  message: string;
  value: string | null;
  repaired: string | null;
}

export interface OpenedFile {
  name: string;
  size: number;
  contentType: string;
  stream: Readable;
}

export interface OutputFile {
  kind: 'repaired' | 'report';
  name: string;
  contentType: string;
}

export interface StoredFile {
  id: string;
  size: number;
  sha256: string;
}

export interface Progress {
  [figure: string]: number;
}

/** What the worker hands to a job: everything is the tenant's own, under row-level security. */
export interface JobContext {
  tenantId: string;
  jobId: string;
  /** From 1. */
  attempt: number;
  /** Aborts when the job is cancelled, its time is over, its lease is lost or the worker stops. */
  signal: AbortSignal;
  /** For requests to others: the trace of the submission, with a span of this attempt (W3C Trace Context). */
  traceparent: string;
  /** The time of its schedule that the job is for; null where nobody but a client submitted it. */
  dueAt: Date | null;
  log: Logger;
  /** @throws RowhouseError file_not_found, file_pending */
  openFile(fileId: string): Promise<OpenedFile>;
  /** Stores what `source` delivers; rejects, keeping nothing, when `source` is destroyed with an error. */
  createFile(file: OutputFile, source: Readable): Promise<StoredFile>;
  recordFindings(findings: Finding[]): Promise<void>;
  /** Written about once a second, the latest alone; more than 4 KiB are refused. */
  reportProgress(progress: Progress): Promise<void>;
  /**
   * A transaction in the tenant's walls, as `rowhouse_worker`: it reads and writes what that role was granted. It fails when another
   * attempt has the job. Keep it short: it holds the job's row, and a cancellation waits for it.
   */
  transaction<T>(work: (client: Pick<Client, 'query'>) => Promise<T>): Promise<T>;
}

export interface JobType<Input extends z.ZodType = z.ZodType, Result = unknown> {
  type: string;
  description: string;
  input: Input;
  settings?: DeclaredSettings;
  /** @returns the job's result: JSON, seen by the tenant. Throws JobFailure to fail for good. */
  run(input: z.output<Input>, context: JobContext): Promise<Result>;
}

/** Types a job definition: the schema decides what `run` receives. */
export function defineJob<Input extends z.ZodType, Result>(job: JobType<Input, Result>): JobType<Input, Result> {
  return job;
}

/**
 * Parses a job's input.
 * @throws JobFailure job_input_invalid naming every field that is wrong.
 */
export function parseInput<Input extends z.ZodType>(job: JobType<Input>, input: unknown): z.output<Input> {
  const parsed = job.input.safeParse(input);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => {
    const path = z.core.toDotPath(issue.path);
    return path === '' ? issue.message : `${path}: ${issue.message}`;
  });
  throw new JobFailure('job_input_invalid', problems.join('; '), { cause: parsed.error });
}

/**
 * Opens a file that the job's input names.
 * @throws JobFailure file_not_found, file_pending: asking again would not help.
 */
export async function openInputFile(context: JobContext, fileId: string): Promise<OpenedFile> {
  try {
    return await context.openFile(fileId);
  } catch (error) {
    if (error instanceof RowhouseError && (error.code === 'file_not_found' || error.code === 'file_pending')) {
      throw new JobFailure(error.code, error.message, { cause: error });
    }
    throw error;
  }
}
