import pg from 'pg';

/** The ledger as one dispatcher sees it: a connection of its own, which also listens. */

export interface Entry {
  tenant_id: string;
  /** Null once the tenant is gone. */
  tier: string | null;
  table_name: string;
  operation: string;
  row_id: string;
  old: Record<string, unknown> | null;
  new: Record<string, unknown> | null;
}

export type LedgerReader = Awaited<ReturnType<typeof openLedger>>;

const CONSUMER = 'jobs';
const MAX_SLOTS = 16;
const MAX_ENTRIES = 500;

/** Connects and listens. The connection belongs to one dispatcher: locks and notifications are its session's. */
export async function openLedger(connectionString: string) {
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
    await client.query('listen ledger_wake');
  } catch (error) {
    await client.end().catch(() => {});
    throw error;
  }

  return {
    /** Takes entries, which moves the cursors, and hands them over in the same transaction. Returns how many there were. */
    async dispatch(handOver: (client: pg.Client, entries: Entry[]) => Promise<void>): Promise<number> {
      await client.query('begin');
      try {
        const { rows } = await client.query<Entry>(
          'select tenant_id, tier, table_name, operation, row_id, old, new from ledger.take($1, $2, $3)',
          [CONSUMER, MAX_SLOTS, MAX_ENTRIES],
        );
        if (rows.length > 0) await handOver(client, rows);
        await client.query('commit');
        return rows.length;
      } catch (error) {
        await client.query('rollback').catch(losing);
        throw error;
      }
    },

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
        const { rows } = await client.query<{ doze: boolean }>('select ledger.doze($1)', [CONSUMER]);
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

    close: () => client.end().catch(() => {}),
  };
}
