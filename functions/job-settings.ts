import { z } from 'zod';

/** How jobs of a type are run. What a type leaves out is the default. */
export const jobSettingsSchema = z.strictObject({
  /** How many jobs of the type one worker runs at once; WORKER_CONCURRENCY at the most, and by default. */
  concurrency: z.int().min(1).max(256).optional(),
  /** How often a job is tried. */
  maxAttempts: z.int().min(1).max(100).default(3),
  /** The wait before the second attempt, doubled each time with jitter, up to the maximum. */
  backoffSeconds: z.int().min(1).max(86_400).default(1),
  maxBackoffSeconds: z.int().min(1).max(86_400).default(5),
  /** An attempt that takes longer is aborted, and counts. A minute less than pg-boss's own limit of 24 hours. */
  timeoutSeconds: z.int().min(1).max(86_340).default(3600),
  /** Of the result as text, as jsonb writes it. No type may have more than a mebibyte: write a file. */
  maxResultBytes: z.int().min(1).max(1_048_576).default(262_144),
});

export type JobSettings = z.output<typeof jobSettingsSchema>;
export type DeclaredSettings = z.input<typeof jobSettingsSchema>;

/** The settings of a type that was checked when it was defined or loaded. */
export const settingsOf = (job: { settings?: DeclaredSettings | undefined }): JobSettings =>
  jobSettingsSchema.parse(job.settings ?? {});
