import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { Pool } from '../../database.ts';
import type { Logger } from '../../log.ts';
import { IN_THE_WAY_MS, isInTheWay, startConsumer } from '../dispatcher.ts';
import type { Round } from '../ledger.ts';
import type { Engine } from './engine.ts';

/** Events become deliveries: those of tenants that have few at once, those of tenants that are set aside beside them. */

const CONSUMER = 'webhooks';
const MAX_SLOTS = 16;
/** A slot's turn, and a tenant's that is set aside: an event waits for those that are there before it, of up to 16 slots. */
const MAX_ENTRIES = 100;
const MAX_TENANTS = 8;
/** Who has many endpoints is looked up no more often. */
const WIDE_MS = 3000;

interface Work {
  tenant_id: string;
  endpoint_id: string | null;
}

interface DispatchRow extends Work {
  slot: number | null;
  position: string;
  /** Null: nobody has an endpoint. */
  entries: number | null;
  has_backlogs: boolean;
}

const wakeAll = (engine: Pick<Engine, 'wake'>, rows: Work[], areSetAside: boolean) => {
  for (const { tenant_id, endpoint_id } of rows) {
    if (endpoint_id !== null) engine.wake(tenant_id, endpoint_id, true, areSetAside);
  }
};

/**
 * Hands new events over to endpoints, and tells the engine which ones, once that is committed.
 * @param wide tenants to set aside: each of their events goes to many endpoints
 */
export async function dispatch(
  client: pg.Client,
  engine: Pick<Engine, 'wake'>,
  wide: readonly string[] = [],
): Promise<Round> {
  const { rows } = await client.query<DispatchRow>({
    name: 'webhook-dispatch',
    text: 'select * from webhook.dispatch($1, $2, $3)',
    values: [MAX_SLOTS, MAX_ENTRIES, wide],
  });
  wakeAll(engine, rows, false);
  const round: Round = { entries: 0, slots: [] };
  for (const { slot, position, entries, has_backlogs } of rows) {
    if (slot === null) continue;
    round.slots.push({ slot, position });
    round.entries += entries ?? 0;
    round.unheard = entries === null;
    round.hasBacklogs = has_backlogs;
  }
  return round;
}

/**
 * As dispatch(), for tenants that are set aside.
 * @returns how many entries were looked at; null: none is, or others are at it
 */
export async function dispatchBacklogs(
  database: pg.Client | Pool,
  engine: Pick<Engine, 'wake'>,
): Promise<number | null> {
  const { rows } = await database.query<Work & { entries: number | null }>({
    name: 'webhook-dispatch-backlogs',
    text: 'select * from webhook.dispatch_backlogs($1, $2)',
    values: [MAX_TENANTS, MAX_ENTRIES],
  });
  wakeAll(engine, rows, true);
  return rows.find(({ endpoint_id }) => endpoint_id === null)?.entries ?? null;
}

/**
 * Follows the ledger for webhooks until stopped. Tenants that are set aside are followed on a connection of their own: what comes of
 * others meanwhile does not wait for their rounds.
 * @param options.pool of rowhouse_worker
 */
export function startDispatch(options: {
  connectionString: string;
  pool: Pool;
  engine: Pick<Engine, 'wake' | 'turn'>;
  log: Logger;
}) {
  const { connectionString, pool, engine, log } = options;
  let catchingUp: Promise<void> | undefined;
  let stopping = false;
  let wide: string[] = [];
  let wideAt = Number.NEGATIVE_INFINITY;

  async function findWide(): Promise<void> {
    if (performance.now() - wideAt < WIDE_MS) return;
    wideAt = performance.now();
    const { rows } = await pool.query<{ wide: string[] }>('select webhook.wide_listeners() as wide');
    wide = rows[0]?.wide ?? [];
  }

  async function catchUp(): Promise<void> {
    await findWide();
    while (!stopping) {
      const endTurn = await engine.turn();
      try {
        if ((await dispatchBacklogs(pool, engine)) === null) return;
      } catch (error) {
        if (!isInTheWay(error)) throw error;
        await delay(IN_THE_WAY_MS);
      } finally {
        endTurn();
      }
    }
  }

  const consumer = startConsumer({
    connectionString,
    consumer: CONSUMER,
    log,
    round: (client) => dispatch(client, engine, wide),
    async backlogs() {
      catchingUp ??= catchUp()
        .catch((error: Error) => log.warn({ consumer: CONSUMER, error: error.message }, 'dispatch interrupted'))
        .finally(() => {
          catchingUp = undefined;
        });
      return false;
    },
  });

  return {
    /** Resolves when the rounds in hand have been committed. */
    async stop(): Promise<void> {
      stopping = true;
      await consumer.stop();
      await catchingUp;
    },
  };
}
