import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { workerSchema } from '../../functions/config.ts';
import { defineJob, JobFailure, type JobType } from '../../functions/job.ts';
import { jobTypes } from '../../functions/jobs/index.ts';
import { superviseProcess } from '../../functions/process.ts';
import { loadJobs } from '../../functions/worker/job-modules.ts';
import { createWorker } from '../../functions/worker/worker.ts';

/** A worker as in functions/worker/main.ts, with job types that only tests ask for. */

/** Runs for a while, and leaves a finding for each step and an output file. */
const steps = defineJob({
  type: 'test.steps',
  description: 'Takes the steps asked for',
  input: z.object({ steps: z.int().min(1), step_ms: z.int().min(0) }),
  async run({ steps, step_ms }, context) {
    for (let step = 0; step < steps; step += 1) {
      await delay(step_ms, undefined, { signal: context.signal });
      await context.recordFindings([
        {
          ordinal: step,
          row: step + 1,
          column_name: 'step',
          rule: 'test',
          severity: 'warning',
          message: `attempt ${context.attempt}`,
          value: null,
          repaired: null,
        },
      ]);
      await context.reportProgress({ bytes: step + 1, total_bytes: steps, rows: step + 1 });
    }
    const body = Buffer.from(`steps: ${steps}\n`);
    const report = { kind: 'report', name: 'steps.txt', contentType: 'text/plain' } as const;
    const file = await context.createFile(report, Readable.from([body]));
    return { steps, attempt: context.attempt, report: file.id };
  },
});

/** Kills the worker at once, every time. */
const crash = defineJob({
  type: 'test.crash',
  description: 'Kills its worker',
  input: z.object({}),
  async run() {
    process.kill(process.pid, 'SIGKILL');
    await delay(60_000);
  },
});

/** Fails in the way asked for, until the attempt asked for. */
const fail = defineJob({
  type: 'test.fail',
  description: 'Fails',
  input: z.object({ until_attempt: z.int(), final: z.boolean() }),
  async run({ until_attempt, final }, { attempt }) {
    if (attempt >= until_attempt) return { attempt };
    if (final) throw new JobFailure('file_empty', 'nothing in it');
    throw new Error('a secret of the machine');
  },
});

const testTypes = [steps, crash, fail].map((job): [string, JobType] => [job.type, job as JobType]);
const jobs = new Map([...jobTypes, ...testTypes]);
await superviseProcess('worker', workerSchema, async (config, log) =>
  createWorker({ config, jobs: await loadJobs(config.JOBS_DIR, jobs), log, suspendedSeconds: 1 }),
);
