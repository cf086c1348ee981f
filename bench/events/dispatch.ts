import { PgBoss } from 'pg-boss';
import pino from 'pino';
import { type HandOver, openLedger, takeBacklogs, takeRound } from '../../functions/worker/ledger.ts';
import { openQueue } from '../../functions/worker/queue.ts';
import { handOver } from '../../functions/worker/submissions.ts';
import { dispatch, dispatchBacklogs } from '../../functions/worker/webhooks/dispatch.ts';
import { runRounds } from '../rounds.ts';
import { openGraphile } from './graphile.ts';
import { rateOf } from './samples.ts';
import { moveCursors, TENANTS, type World } from './world.ts';

const TYPE = 'csv.validate';
const QUEUE = `job.${TYPE}`;
/** Of pg-boss's own insert: many rows in one statement. */
const BATCH = 1000;

interface Side {
  name: 'jobs' | 'webhooks' | 'send' | 'insert' | 'add_job' | 'add_jobs';
  /** Commits what there is to do; not timed. */
  prepare(): Promise<void>;
  run(): Promise<void>;
  /** How many there are after it. */
  count: string;
}

/** Entries to pg-boss jobs and to deliveries, beside the same jobs by pg-boss's and graphile-worker's own means; one connection each, no worker. */
export async function measureDispatch(
  world: World,
  options: { count: number; rounds: number; progress(message: string): void },
) {
  const { admin, cluster } = world;
  const { count, rounds, progress } = options;
  const log = pino({ level: 'silent' });
  const connectionString = cluster.database.worker;
  const queue = await openQueue({ connectionString, types: new Map(), slots: 4, tierLimits: {}, log });
  const ledgers = {
    jobs: await openLedger(connectionString, 'jobs'),
    webhooks: await openLedger(connectionString, 'webhooks'),
  };
  const boss = new PgBoss({ connectionString, schema: 'pgboss', createSchema: false, supervise: false, max: 1 });
  boss.on('error', () => {});
  await boss.start();
  const graphile = await openGraphile(cluster.database.admin);
  const messages = Array.from({ length: count }, (_, nth) => ({
    tenant_id: `t_events_${(nth % TENANTS) + 1}`,
    job_id: crypto.randomUUID(),
    type: TYPE,
    submission: new Date().toISOString(),
    handed_back: 0,
  }));
  const group = (id: string) => ({ group: { id, tier: 'standard' } });
  const submit = () =>
    admin.query(
      `insert into app.jobs (tenant_id, type, input, created_by)
       select 't_events_' || (n % ${TENANTS} + 1), $2, '{}', 'bench' from generate_series(1, $1::int) as n`,
      [count, TYPE],
    );
  const nothing = async () => {};
  const queued = `select count(*)::int as count from pgboss.job where name = '${QUEUE}'`;
  const added = 'select count(*)::int as count from graphile_worker._private_jobs';
  const sides: Side[] = [
    {
      name: 'jobs',
      prepare: async () => void (await submit()),
      async run() {
        const give: HandOver = (client, entries) => handOver(queue, client, entries);
        const round = () => ledgers.jobs.follow((client) => takeRound(client, 'jobs', give));
        while ((await round()).entries > 0);
        while (await ledgers.jobs.run((client) => takeBacklogs(client, 'jobs', give)));
      },
      count: queued,
    },
    {
      name: 'webhooks',
      prepare: () => world.insertReadings(count),
      async run() {
        const engine = { wake() {} };
        while ((await ledgers.webhooks.follow((client) => dispatch(client, engine))).entries > 0);
        while ((await ledgers.webhooks.run((client) => dispatchBacklogs(client, engine))) !== null);
      },
      count: 'select count(*)::int as count from webhook.deliveries',
    },
    {
      name: 'send',
      prepare: nothing,
      async run() {
        for (const message of messages) await boss.send(QUEUE, message, group(message.tenant_id));
      },
      count: queued,
    },
    {
      name: 'insert',
      prepare: nothing,
      async run() {
        for (let at = 0; at < count; at += BATCH) {
          const batch = messages.slice(at, at + BATCH).map((data) => ({ data, ...group(data.tenant_id) }));
          await boss.insert(QUEUE, batch);
        }
      },
      count: queued,
    },
    {
      name: 'add_job',
      prepare: graphile.empty,
      async run() {
        for (const message of messages) await graphile.addJob(message);
      },
      count: added,
    },
    {
      name: 'add_jobs',
      prepare: graphile.empty,
      run: () => graphile.addJobs(messages),
      count: added,
    },
  ];
  try {
    await queue.submit({ query: admin.query.bind(admin) } as never, TYPE, []).catch(() => {}); // makes the queue
    await boss.createQueue(QUEUE);
    return await runRounds(sides, { rounds, progress: (message) => progress(`dispatch: ${message}`) }, async (side) => {
      await world.empty();
      await side.prepare();
      if (side.name !== 'jobs') await moveCursors(admin, 'jobs');
      if (side.name !== 'webhooks') await moveCursors(admin, 'webhooks');
      const began = performance.now();
      await side.run();
      const took = performance.now() - began;
      const { rows } = await admin.query<{ count: number }>(side.count);
      if (rows[0]?.count !== count) throw new Error(`${side.name} made ${rows[0]?.count} of ${count}`);
      return rateOf(count, took);
    });
  } finally {
    await boss.stop({ graceful: false });
    await graphile.close();
    await queue.stop(0, () => {});
    for (const ledger of Object.values(ledgers)) await ledger.close();
    await world.empty();
  }
}
