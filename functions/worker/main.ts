import { readConfig, workerSchema } from '../config.ts';
import { jobTypes } from '../jobs/index.ts';
import { createLog } from '../log.ts';
import { superviseProcess } from '../process.ts';
import { createWorker } from './worker.ts';

const log = createLog('worker');

await superviseProcess('worker', log, () => createWorker({ config: readConfig(workerSchema), jobs: jobTypes, log }));
