import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { RowhouseError } from '../errors.ts';

export interface TenantEvent {
  position: string;
  type: string;
  subject: string | null;
  time: Date;
  actor: string | null;
  event: Record<string, unknown>;
}

export interface TailOptions {
  tenant: string;
  /** With `*` for any characters; every type where there is none. */
  types: string[];
  /** Begin after this position; without it, with the last few. */
  after?: string;
  last: number;
  /** End when the last one that there is has been read. */
  once: boolean;
  signal: AbortSignal;
}

const LOOK_MS = 250;
const PAGE = 500;

const MATCHING = 'e.tenant_id = $1 and ($2::text[] is null or e.type like any ($2))';

/** `*` as patterns of LIKE have it. */
const likePattern = (type: string) => type.replaceAll(/[\\_%]/g, '\\$&').replaceAll('*', '%');

/** Up to where the tenant's entries are all visible or rolled back. Three statements: each needs a snapshot of its own. */
async function settled(client: pg.ClientBase, tenant: string): Promise<string> {
  const drawn = await client.query<{ drawn: string }>('select last_value as drawn from ledger.positions');
  const { rows } = await client.query<{ settled: string }>(
    'select ledger.settled_position(ledger.slot($1), $2) as settled',
    [tenant, drawn.rows[0]?.drawn],
  );
  return rows[0]?.settled ?? '0';
}

/**
 * A tenant's events in order, those to come included; none is passed over because its transaction committed late.
 * @param client whose role may become rowhouse_dispatcher
 * @throws RowhouseError tenant_unknown
 */
export async function* tailEvents(client: pg.ClientBase, options: TailOptions): AsyncGenerator<TenantEvent> {
  const { tenant, last, once, signal } = options;
  const types = options.types.length > 0 ? options.types.map(likePattern) : null;
  await client.query('set role rowhouse_dispatcher');
  const known = await client.query('select from tenancy.tenants where id = $1', [tenant]);
  if (known.rowCount === 0)
    throw new RowhouseError('tenant_unknown', { detail: `no tenant ${tenant}`, hint: 'rowhouse tenant list' });

  let reached = await settled(client, tenant);
  let after = options.after ?? (await startOf(reached));

  async function startOf(upto: string): Promise<string> {
    const { rows } = await client.query<{ position: string }>(
      `select coalesce(min(position) - 1, $4) as position from (
         select e.position from ledger.events as e where ${MATCHING} and e.position <= $4 order by e.position desc limit $3) as latest`,
      [tenant, types, last, upto],
    );
    return rows[0]?.position ?? upto;
  }

  while (!signal.aborted) {
    const { rows } = await client.query<TenantEvent>(
      `select e.position, e.type, e.subject, e.time, e.actor, e.event from ledger.events as e
       where ${MATCHING} and e.position > $3 and e.position <= $4 order by e.position limit ${PAGE}`,
      [tenant, types, after, reached],
    );
    yield* rows;
    if (rows.length === PAGE) {
      after = rows.at(-1)?.position ?? after;
      continue;
    }
    after = BigInt(reached) > BigInt(after) ? reached : after;
    if (once) return;
    await delay(LOOK_MS, undefined, { signal }).catch(() => {});
    reached = await settled(client, tenant);
  }
}
