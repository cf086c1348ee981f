import type pg from 'pg';
import type { Logger } from '../../log.ts';
import { startConsumer } from '../dispatcher.ts';
import { type Ledger, openLedger, type Round } from '../ledger.ts';
import type { Engine } from './engine.ts';

/** Events become deliveries: those of slots that have few at once, those of a backlog beside them. */

const CONSUMER = 'webhooks';
const SLOTS = Array.from({ length: 16 }, (_, slot) => slot);
/** A slot's turn: a tenant's event waits for those that are there before it, of up to 16 slots. */
const MAX_ENTRIES = 100;

interface DispatchRow {
  slot: number | null;
  position: string;
  /** Null: nobody has an endpoint. */
  entries: number | null;
  more: boolean;
  tenant_id: string;
  endpoint_id: string;
}

/** A round, and the slots of it that have more. */
export type DispatchRound = Round & { behind: number[] };

/** Hands new events over to endpoints, and tells the engine which ones, once that is committed. */
export async function dispatch(
  client: pg.Client,
  engine: Pick<Engine, 'wake'>,
  among?: readonly number[],
): Promise<DispatchRound> {
  const { rows } = await client.query<DispatchRow>({
    name: 'webhook-dispatch',
    text: 'select * from webhook.dispatch($1, $2, $3)',
    values: [SLOTS.length, MAX_ENTRIES, among ?? null],
  });
  const round: DispatchRound = { entries: 0, slots: [], behind: [] };
  for (const { slot, position, entries, more, tenant_id, endpoint_id } of rows) {
    if (slot === null) engine.wake(tenant_id, endpoint_id, true);
    else {
      round.slots.push({ slot, position });
      round.entries += entries ?? 0;
      round.unheard = entries === null;
      if (more) round.behind.push(slot);
    }
  }
  return round;
}

/**
 * Follows the ledger for webhooks until stopped. A slot with more than one round's entries is followed on a connection of its own until
 * it has caught up: what comes into other slots meanwhile does not wait for its rounds.
 */
export function startDispatch(options: {
  connectionString: string;
  engine: Pick<Engine, 'wake' | 'turn'>;
  log: Logger;
}) {
  const { connectionString, engine, log } = options;
  const behind = new Set<number>();
  let catchingUp: Promise<void> | undefined;
  let stopping = false;

  /** The slots that are not followed elsewhere. */
  const mine = () => (behind.size > 0 ? SLOTS.filter((slot) => !behind.has(slot)) : undefined);

  async function catchUp(): Promise<void> {
    let ledger: Ledger | undefined;
    try {
      ledger = await openLedger(connectionString, CONSUMER);
      while (behind.size > 0 && !stopping) {
        const among = [...behind];
        const endTurn = await engine.turn();
        try {
          await ledger.follow(async (client) => {
            const round = await dispatch(client, engine, among);
            for (const slot of among) if (!round.behind.includes(slot)) behind.delete(slot);
            return round;
          });
        } finally {
          endTurn();
        }
      }
    } finally {
      // Whatever is left is found behind again.
      behind.clear();
      await ledger?.close();
    }
  }

  const consumer = startConsumer({
    connectionString,
    consumer: CONSUMER,
    log,
    async round(client) {
      const round = await dispatch(client, engine, mine());
      for (const slot of round.behind) behind.add(slot);
      return round;
    },
    onRound() {
      if (behind.size === 0 || stopping) return;
      catchingUp ??= catchUp()
        .catch((error: Error) => log.warn({ consumer: CONSUMER, error: error.message }, 'dispatch interrupted'))
        .finally(() => {
          catchingUp = undefined;
          // What came into its slots after its last look is nobody's but the consumer's again.
          consumer.call();
        });
    },
    among: mine,
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
