import type pg from 'pg';
import type { Pool } from '../../database.ts';

/** What the engine asks of the database: sql/webhook. */

export interface Ask {
  tenant: string;
  id: string;
  version: number;
  watermark: number;
  /** At the most, of those that wait for their first attempt, and as many of those that are due again. */
  rows: number;
  fresh: boolean;
}

export interface StoredSecret {
  kind: 'hmac' | 'ed25519' | 'header';
  header: string | null;
  ciphertext: string;
  expiresAt: number | null;
}

/** An endpoint as the database has it. */
export interface Described {
  version: number;
  generation: number;
  watermark: number;
  url: string;
  ordering: 'none' | 'endpoint' | 'subject';
  rate: number | null;
  timeoutMs: number;
  signing: string[];
  tenantConcurrency: number;
  tenantWeight: number;
  secrets: StoredSecret[];
}

/** What the last holder of the lease knew of the receiver. */
export interface StoredHealth {
  circuit: 'closed' | 'open' | 'half_open';
  opened: number;
  failures: number;
  pausedUntil: number | null;
  failingSince: number | null;
}

export interface Delivery {
  position: number;
  attempts: number;
  /** Attempts that failed since the schedule began. */
  failed: number;
  /** Deliveries with the same one go one after the other. */
  orderingKey: string | null;
  /** It was tried or replayed before: it has a next_attempt_at. */
  retried: boolean;
  /** An earlier one of its order waits for its next attempt. */
  blocked: boolean;
  eventId: string;
  /** Null: the event is no longer in the ledger. */
  body: string | null;
}

export type Claimed =
  | { kind: 'busy' | 'gone'; endpoint: string }
  | { kind: 'endpoint'; endpoint: string; described: Described }
  | {
      kind: 'leased';
      endpoint: string;
      dueAt: number | null;
      health: StoredHealth;
    }
  | { kind: 'delivery'; endpoint: string; delivery: Delivery };

interface Row {
  endpoint_id: string;
  kind: Claimed['kind'];
  // biome-ignore lint/suspicious/noExplicitAny: what webhook.claim() builds for this kind of row
  detail: any;
  position: string;
  attempts: number;
  failed: number;
  ordering_key: string | null;
  retried: boolean;
  blocked: boolean;
  event_id: string;
  body: string | null;
}

function read(row: Row): Claimed {
  const endpoint = row.endpoint_id;
  switch (row.kind) {
    case 'endpoint':
      return { kind: 'endpoint', endpoint, described: row.detail };
    case 'leased':
      return {
        kind: 'leased',
        endpoint,
        dueAt: row.detail.dueAt,
        health: row.detail,
      };
    case 'delivery':
      return {
        kind: 'delivery',
        endpoint,
        delivery: {
          position: Number(row.position),
          attempts: row.attempts,
          failed: row.failed,
          orderingKey: row.ordering_key,
          retried: row.retried,
          blocked: row.blocked,
          eventId: row.event_id,
          body: row.body,
        },
      };
    default:
      return { kind: row.kind, endpoint };
  }
}

/** The leases are the session's: always the same client. */
export async function claim(session: pg.Client, releases: string[], asks: Ask[]): Promise<Claimed[]> {
  const { rows } = await session.query<Row>({
    name: 'claim',
    text: 'select * from webhook.claim($1, $2)',
    values: [releases, JSON.stringify(asks)],
  });
  return rows.map(read);
}

export async function disable(
  pool: Pool,
  tenant: string,
  endpoint: string,
  reason: 'gone' | 'failing',
): Promise<boolean> {
  const { rows } = await pool.query<{ disabled: boolean }>('select webhook.disable($1, $2, $3) as disabled', [
    tenant,
    endpoint,
    reason,
  ]);
  return rows[0]?.disabled ?? false;
}

/** Endpoints with deliveries that are due within so many seconds. */
export async function dueEndpoints(pool: Pool, withinSeconds: number): Promise<{ tenant: string; id: string }[]> {
  const { rows } = await pool.query<{ tenant_id: string; endpoint_id: string }>({
    name: 'due',
    text: 'select tenant_id, endpoint_id from webhook.due_endpoints($1)',
    values: [withinSeconds],
  });
  return rows.map((row) => ({ tenant: row.tenant_id, id: row.endpoint_id }));
}

/** @returns how many deliveries had been waiting for none before them, and are due now */
export async function freeStranded(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ freed: string }>('select webhook.free_stranded() as freed');
  return Number(rows[0]?.freed ?? 0);
}
