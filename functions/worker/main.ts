import { workerSchema } from '../config.ts';
import { jobTypes } from '../jobs/index.ts';
import { superviseProcess } from '../process.ts';
import { createWorker } from './worker.ts';

await superviseProcess('worker', workerSchema, (config, log) => createWorker({ config, jobs: jobTypes, log }));
