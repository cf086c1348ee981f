import { openLedger } from '../../functions/worker/ledger.ts';
import { dispatch, dispatchBacklogs } from '../../functions/worker/webhooks/dispatch.ts';
import { runRounds } from '../rounds.ts';
import { rateOf } from './samples.ts';
import { moveCursors, TENANTS, type World } from './world.ts';

interface Backlog {
  tenant_id: string;
  slot: number;
  position: string;
}

/** The rate at which entries become deliveries with a million others waiting behind them, and with none. */
export async function measureBacklog(
  world: World,
  options: { backlog: number; count: number; rounds: number; progress(message: string): void },
) {
  const { admin, cluster } = world;
  const { backlog, count, rounds, progress } = options;
  await world.empty();
  progress(`backlog: writing ${backlog} entries`);
  const { rows: begun } = await admin.query<{ at: string }>('select last_value as at from ledger.positions');
  const behind = Number(begun[0]?.at);
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
  /** What is still to be handed over, while it is the other side's turn. */
  let kept: Backlog[] = [];
  const sides = [{ name: 'empty' }, { name: 'backlog' }];
  try {
    return await runRounds(
      sides,
      { rounds, progress: (message) => progress(`backlog: ${message}`) },
      async ({ name }) => {
        await admin.query('delete from ledger.backlogs');
        if (name === 'empty') {
          await moveCursors(admin);
          await world.insertReadings(count);
        } else if (kept.length === 0) await moveCursors(admin, 'webhooks', behind);
        else {
          await admin.query(
            `insert into ledger.backlogs (tenant_id, consumer, slot, position)
             select b.tenant_id, 'webhooks', b.slot, b.position from jsonb_to_recordset($1) as b (tenant_id text, slot smallint, position bigint)`,
            [JSON.stringify(kept)],
          );
        }
        await admin.query('checkpoint');
        let handed = 0;
        const engine = { wake() {} };
        const began = performance.now();
        while (handed < count) {
          const { entries } = await ledger.follow((client) => dispatch(client, engine));
          const aside = (await ledger.run((client) => dispatchBacklogs(client, engine))) ?? 0;
          if (entries + aside === 0) throw new Error(`${name}: only ${handed} of ${count} entries were there`);
          handed += entries + aside;
        }
        const took = performance.now() - began;
        if (name === 'backlog') {
          const { rows } = await admin.query<Backlog>(
            `select tenant_id, slot, position from ledger.backlogs where consumer = 'webhooks'`,
          );
          kept = rows;
        }
        return rateOf(handed, took);
      },
    );
  } finally {
    await ledger.close();
    await world.empty();
  }
}
