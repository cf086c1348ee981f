import { type JobContext, JobFailure, type JobType, parseInput } from '../job.ts';
import csvValidate from './csv.validate.ts';

/** Every job type of this repository: import it above, name it here. JOBS_DIR adds others (functions/worker/job-modules.ts). */
const registered: JobType[] = [csvValidate];

export const jobTypes: ReadonlyMap<string, JobType> = new Map(registered.map((job) => [job.type, job]));

/**
 * Runs one job.
 * @returns the result to store in `app.jobs.result`.
 * @throws JobFailure when the job failed for good; anything else may be tried again.
 */
export async function runJob(type: string, input: unknown, context: JobContext): Promise<unknown> {
  const job = jobTypes.get(type);
  if (!job) {
    throw new JobFailure('job_type_unknown', `No job type ${type}; there are: ${[...jobTypes.keys()].join(', ')}`);
  }
  return job.run(parseInput(job, input), context);
}
