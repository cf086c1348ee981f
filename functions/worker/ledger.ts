import pg from 'pg';
import type { Logger } from '../log.ts';
import { keepMarks } from './marks.ts';

/** The ledger as one follower sees it: a connection of its own, which also listens. */

export interface Entry {
  tenant_id: string;
  position: string;
  /** Null once the tenant is gone. */
  tier: string | null;
  table_name: string;
  operation: string;
  row_id: string;
  trace_id: string | null;
  old: Record<string, unknown> | null;
  new: Record<string, unknown> | null;
}

/** A slot, and up to where its entries have been handed over. */
export interface Reached {
  slot: number;
  position: string;
}

/** What one round has handed over, committed. */
export interface Round {
  entries: number;
  slots: Reached[];
  /** There is nobody yet for whom anything could be handed over. */
  unheard?: boolean;
  /** Tenants with much are set aside: theirs is handed over apart. */
  hasBacklogs?: boolean;
}

export type Ledger = Awaited<ReturnType<typeof openLedger>>;

const MAX_SLOTS = 16;
const MAX_ENTRIES = 500;
/** Of those that are set aside, in one round: others wait for it. */
const MAX_BACKLOGS = { tenants: 4, entries: 250 };

/** Connects and listens. The connection belongs to one consumer of one worker: locks and notifications are its session's. */
export async function openLedger(connectionString: string, consumer: string) {
  const client = new pg.Client({
    connectionString,
    application_name: 'rowhouse-worker-dispatcher',
    keepAlive: true,
    connectionTimeoutMillis: 5000,
  });
  let lost: Error | undefined;
  let onEvent = () => {};
  const losing = (error?: Error) => {
    lost ??= error ?? new Error('the connection to the ledger ended');
    onEvent();
  };
  client.on('error', losing);
  client.on('end', () => losing());
  client.on('notification', () => onEvent());
  try {
    await client.connect();
    // A crash of the server takes away the end of what was committed here: never a hand-over without the cursor after it.
    await client.query('listen ledger_wake; set synchronous_commit = off');
  } catch (error) {
    await client.end().catch(() => {});
    throw error;
  }

  return {
    /** Runs a round, and moves the cursors once it is committed. Close the ledger if it fails: that frees the slots. */
    async follow<R extends Round>(run: (client: pg.Client) => Promise<R>): Promise<R> {
      const round = await run(client);
      const { slots } = round;
      if (slots.length > 0) {
        await client.query('select ledger.advance($1, $2, $3)', [
          consumer,
          slots.map(({ slot }) => slot),
          slots.map(({ position }) => position),
        ]);
      }
      return round;
    },

    /** Work that moves no cursor. */
    run: <R>(work: (client: pg.Client) => Promise<R>): Promise<R> => work(client),

    /** Dozes until a writer calls, `signal` aborts or `timeoutMs` pass; stays awake when there is work. */
    async sleep(timeoutMs: number, signal: AbortSignal): Promise<'called' | 'timed out' | 'work waits'> {
      let wake = () => {};
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      let called = false;
      onEvent = () => {
        called = true;
        wake();
      };
      signal.addEventListener('abort', wake, { once: true });
      const timer = setTimeout(wake, timeoutMs);
      try {
        const { rows } = await client.query<{ doze: boolean }>('select ledger.doze($1)', [consumer]);
        if (!rows[0]?.doze) return 'work waits';
        if (!signal.aborted) await woken;
        if (lost) throw lost;
        await client.query('select ledger.rouse()');
        return called ? 'called' : 'timed out';
      } finally {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        onEvent = () => {};
      }
    },

    /** To be called before the first round: a restore or a failover ended the connection before. */
    keepMarks: (log: Logger) => keepMarks(client, log),

    close: () => client.end().catch(() => {}),
  };
}

type Taken = Entry & { slot: number; upto_position: string; has_backlogs: boolean };

export type HandOver = (client: pg.Client, entries: Entry[]) => Promise<void>;

/** A round that hands over what ledger.take() returns, in the transaction that took it. */
export async function takeRound(client: pg.Client, consumer: string, handOver: HandOver): Promise<Round> {
  await client.query('begin');
  const { rows } = await client.query<Taken>(
    `select slot, upto_position, has_backlogs, position, tenant_id, tier, table_name, operation, row_id, trace_id, old, new
     from ledger.take($1, $2, $3)`,
    [consumer, MAX_SLOTS, MAX_ENTRIES],
  );
  // A slot without entries is one row without a position.
  const entries = rows.filter(({ position }) => position !== null);
  if (entries.length > 0) await handOver(client, entries);
  await client.query('commit');
  const reached = new Map(rows.map(({ slot, upto_position }) => [slot, upto_position]));
  return {
    entries: entries.length,
    slots: [...reached].map(([slot, position]) => ({ slot, position })),
    hasBacklogs: rows.some(({ has_backlogs }) => has_backlogs),
  };
}

/**
 * As takeRound(), of tenants that are set aside.
 * @returns whether there may be more
 */
export async function takeBacklogs(client: pg.Client, consumer: string, handOver: HandOver): Promise<boolean> {
  await client.query('begin');
  const { rows } = await client.query<Entry>(
    `select position, tenant_id, tier, table_name, operation, row_id, trace_id, old, new from ledger.take_backlogs($1, $2, $3)`,
    [consumer, MAX_BACKLOGS.tenants, MAX_BACKLOGS.entries],
  );
  const entries = rows.filter(({ position }) => position !== null);
  if (entries.length > 0) await handOver(client, entries);
  await client.query('commit');
  return rows.length > 0;
}
