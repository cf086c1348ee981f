import { openLedger } from '../../functions/worker/ledger.ts';
import { dispatch } from '../../functions/worker/webhooks/dispatch.ts';
import { runRounds } from '../rounds.ts';
import { rateOf } from './samples.ts';
import { moveCursors, TENANTS, type World } from './world.ts';

/** The rate at which entries become deliveries with a million others waiting behind them, and with none. */
export async function measureBacklog(
  world: World,
  options: { backlog: number; count: number; rounds: number; progress(message: string): void },
) {
  const { admin, cluster } = world;
  const { backlog, count, rounds, progress } = options;
  await world.empty();
  progress(`backlog: writing ${backlog} entries`);
  const ends = async () =>
    Number((await admin.query('select last_value::int8 as at from ledger.positions')).rows[0].at);
  let behind = await ends();
  // Past the trigger, which would take most of the time: the entries are the same.
  const step = 50_000;
  for (let at = 0; at < backlog; at += step) {
    await admin.query(
      `insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, new, subject, role)
       select tenant, ledger.slot(tenant), 'app.readings', 'insert', gen_random_uuid()::text,
         jsonb_build_object('title', 'reading ' || n, 'body', repeat('x', 120)), 'bench', 'tenant_user'
       from (select n, 't_events_' || (n % ${TENANTS} + 1) as tenant from generate_series(1, $1::int) as n) as made`,
      [Math.min(step, backlog - at)],
    );
    if ((at / step) % 5 === 4) progress(`backlog: ${at + step} entries`);
  }
  await admin.query('vacuum analyze ledger.entries');
  await admin.query('checkpoint');
  const ledger = await openLedger(cluster.database.worker, 'webhooks');
  const sides = [{ name: 'empty' }, { name: 'backlog' }];
  try {
    return await runRounds(
      sides,
      { rounds, progress: (message) => progress(`backlog: ${message}`) },
      async ({ name }) => {
        if (name === 'empty') {
          await moveCursors(admin);
          await world.insertReadings(count);
        } else await moveCursors(admin, 'webhooks', behind);
        await admin.query('checkpoint');
        let handed = 0;
        const began = performance.now();
        while (handed < count) {
          const { entries } = await ledger.follow((client) => dispatch(client, { wake() {} }));
          if (entries === 0) throw new Error(`${name}: only ${handed} of ${count} entries were there`);
          handed += entries;
        }
        const took = performance.now() - began;
        if (name === 'backlog') {
          const { rows } = await admin.query(
            `select min(pg_sequence_last_value(ledger.cursor('webhooks', slot)))::int8 as at from generate_series(0, 15) as slot
           where exists (select from tenancy.tenants where ledger.slot(id) = slot and id like 't\\_events\\_%')`,
          );
          behind = Number(rows[0].at);
        }
        return rateOf(handed, took);
      },
    );
  } finally {
    await ledger.close();
    await world.empty();
  }
}
