import { PgBoss } from 'pg-boss';
import { deliver, type NaiveJob } from './naive.ts';

/** A worker as one would write it: each job is one fetch, retried by pg-boss. Its arguments: the database, how many at once, how many jobs are taken together. */

const [databaseUrl = '', concurrency = '1', batchSize = '1'] = process.argv.slice(2);
const boss = new PgBoss({
  connectionString: databaseUrl,
  schema: 'pgboss',
  createSchema: false,
  max: 10,
  useListenNotify: true,
});
boss.on('error', (error) => process.stderr.write(`${error.message}\n`));
await boss.start();

const options = {
  batchSize: Number(batchSize),
  pollingIntervalSeconds: 0.5,
  notifyPollingIntervalSeconds: 0.5,
  burstWhenBatchFull: true,
};
for (let nth = 0; nth < Number(concurrency); nth++) {
  let workerId = '';
  workerId = await boss.work<NaiveJob>('naive', options, async (jobs) => {
    await Promise.all(jobs.map(({ data }) => deliver(data)));
    // Or it would wait for its next poll, with jobs in the queue: at 20 workers, 40 deliveries a second.
    boss.notifyWorker(workerId);
  });
}
process.on('disconnect', () => process.exit());
process.send?.('ready');
