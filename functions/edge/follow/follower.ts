import pg from 'pg';
import { RowhouseError } from '../../errors.ts';
import type { Logger } from '../../log.ts';

/** A table of a tenant in which something was committed; of no tenant: keys, plans, the directory. */
export interface Change {
  tenantId: string | null;
  table: string;
}

/** Whose changes change who may do what; everything else changes only what rests on it. */
export const isAuthority = (table: string) => table.startsWith('tenancy.') || table.startsWith('auth.');

/** Knows what has been committed, as of a moment after each question: nothing that rests on it can be stale. */
export interface Follower {
  /**
   * Compares a snapshot that is taken after this call with the last one, and tells the listeners what was committed in between.
   * Calls that wait share one query.
   * @returns the mark of that snapshot; a later one has a higher mark
   * @throws RowhouseError database_unavailable
   */
  sync(): Promise<number>;
  /** The mark of the last snapshot compared, without asking. */
  mark(): number;
  /** Whether every change from now on will be heard of. What is read while it is not so must not be kept. */
  isFollowing(): boolean;
  onChange(listener: (change: Change, mark: number) => void): void;
  /** Changes may have been missed: forget everything. */
  onReset(listener: () => void): void;
  stop(): Promise<void>;
}

export interface FollowerOptions {
  connectionString: string;
  log: Logger;
  /** Syncs by itself before nobody has asked for so long. */
  idleMs?: number;
  /** A database that takes longer to answer is as good as gone. */
  timeoutMs?: number;
}

type Row = [snapshot: string | null, tenantId: string | null, table: string | null];

const CHANGES = {
  name: 'changes_after',
  text: 'select snapshot::text, tenant_id, table_name from ledger.changes_after($1::pg_snapshot)',
  rowMode: 'array' as const,
};

async function connect({ connectionString, timeoutMs = 2000 }: FollowerOptions): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString,
    application_name: 'rowhouse-edge-follower',
    keepAlive: true,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
  });
  client.on('error', () => {}); // the query under way reports it
  try {
    await client.connect();
  } catch (error) {
    void client.end().catch(() => {});
    throw error;
  }
  return client;
}

/** Follows the ledger over a connection of its own, which is made when it is first needed and again when it is lost. */
export function createFollower(options: FollowerOptions): Follower {
  const { log, idleMs = 500 } = options;
  const onChange: ((change: Change, mark: number) => void)[] = [];
  const onReset: (() => void)[] = [];
  let client: pg.Client | undefined;
  let seen: string | null = null;
  let mark = 0;
  let running: Promise<number> | undefined;
  let waiting: Promise<number> | undefined;
  let syncedAt = 0;
  let following = true;
  let stopped = false;

  function lose(error: unknown): RowhouseError {
    if (following && !stopped) log.warn({ cause: (error as Error).message }, 'the ledger cannot be followed');
    following = false;
    client?.end().catch(() => {});
    client = undefined;
    seen = null;
    for (const listener of onReset) listener();
    return new RowhouseError('database_unavailable', { headers: { 'Retry-After': '1' }, cause: error });
  }

  async function compare(): Promise<number> {
    try {
      if (stopped) throw new Error('the follower was stopped');
      client ??= await connect(options);
      const { rows } = await client.query<Row>({ ...CHANGES, values: [seen] });
      seen = rows[0]?.[0] ?? null;
      mark++;
      for (let nth = 1; nth < rows.length; nth++) {
        const [, tenantId, table] = rows[nth] as Row;
        for (const listener of onChange) listener({ tenantId, table: table as string }, mark);
      }
    } catch (error) {
      throw lose(error);
    } finally {
      running = undefined;
    }
    if (!following) log.info('the ledger is followed again');
    following = true;
    syncedAt = Date.now();
    return mark;
  }

  const start = () => {
    waiting = undefined;
    running = compare();
    return running;
  };

  function sync(): Promise<number> {
    if (!running && !waiting) return start();
    // The one under way may have taken its snapshot already: these have to wait for the next.
    waiting ??= (running as Promise<number>).then(start, start);
    return waiting;
  }

  const timer = setInterval(() => {
    if (!running && Date.now() - syncedAt >= idleMs / 2) sync().catch(() => {});
  }, idleMs / 2);
  timer.unref();
  sync().catch(() => {}); // what is read before the first snapshot cannot be kept

  return {
    sync,
    mark: () => mark,
    isFollowing: () => seen !== null,
    onChange: (listener) => void onChange.push(listener),
    onReset: (listener) => void onReset.push(listener),
    async stop() {
      stopped = true;
      clearInterval(timer);
      await running?.catch(() => {});
      await client?.end().catch(() => {});
      client = undefined;
    },
  };
}
