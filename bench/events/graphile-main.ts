import { Logger, run } from 'graphile-worker';
import { TASK } from './graphile.ts';
import { deliver, type NaiveJob } from './naive.ts';

/** A worker of graphile-worker's whose jobs are one fetch each. Its arguments: the database, how many at once, how many jobs are taken together. */

const [connectionString = '', concurrency = '1', batchSize = '1'] = process.argv.slice(2);
const size = Number(batchSize);
await run({
  connectionString,
  concurrency: Number(concurrency),
  maxPoolSize: 10,
  pollInterval: 500,
  noHandleSignals: true,
  logger: new Logger(() => () => {}),
  taskList: { [TASK]: (payload) => deliver(payload as NaiveJob) },
  // What its documentation tells those to set who have many jobs.
  ...(size > 1 ? { preset: { worker: { localQueue: { size }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } } } : {}),
});
process.on('disconnect', () => process.exit());
process.send?.('ready');
