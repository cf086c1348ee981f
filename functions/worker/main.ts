import { workerSchema } from '../config.ts';
import { jobTypes } from '../jobs/index.ts';
import { superviseProcess } from '../process.ts';
import { loadJobs } from './job-modules.ts';
import { createWorker } from './worker.ts';

await superviseProcess('worker', workerSchema, async (config, log) =>
  createWorker({ config, jobs: await loadJobs(config.JOBS_DIR, jobTypes), log }),
);
