import type pg from 'pg';
import { RowhouseError } from '../errors.ts';

export interface Rewinding {
  consumer: string;
  after: string;
  /** Entries that it would be, or is, handed again. */
  entries: number;
}

/**
 * How many entries a consumer has been handed since a position.
 * @throws RowhouseError usage_invalid where there is no such consumer
 */
export async function countHandedOver(client: pg.ClientBase, consumer: string, after: string): Promise<Rewinding> {
  await client.query('set local role rowhouse_dispatcher');
  const { rows } = await client.query<{ consumer: string }>('select consumer from ledger.consumers order by consumer');
  if (!rows.some((row) => row.consumer === consumer)) {
    throw new RowhouseError('usage_invalid', {
      detail: `the ledger has no consumer ${consumer}`,
      hint: `It has: ${rows.map((row) => row.consumer).join(', ')}`,
    });
  }
  const counted = await client.query<{ entries: number }>(
    `select count(*)::int as entries
     from generate_series(0, 15) as s (slot)
     join ledger.entries as e on e.slot = s.slot and e.position > $2
       and e.position <= pg_sequence_last_value(ledger.cursor($1, s.slot))
     where (select tables from ledger.consumers where consumer = $1) is null
       or e.table_name = any ((select tables from ledger.consumers where consumer = $1)::text[])`,
    [consumer, after],
  );
  await client.query('reset role');
  return { consumer, after, entries: counted.rows[0]?.entries ?? 0 };
}

/** Moves a consumer back: its workers get everything after the position again. */
export async function rewind(client: pg.ClientBase, { consumer, after }: Rewinding): Promise<void> {
  await client.query('select ledger.rewind($1, $2)', [consumer, after]);
}

export interface EndpointReplay {
  tenant: string;
  endpoint: string;
  from: string;
  to: string;
}

/**
 * Delivers a range of events to a webhook endpoint once more.
 * @returns how many deliveries
 * @throws RowhouseError webhook_endpoint_unknown, webhook_replay_invalid
 */
export async function replayToEndpoint(
  client: pg.ClientBase,
  { tenant, endpoint, from, to }: EndpointReplay,
  dryRun: boolean,
): Promise<number> {
  const { rows } = await client.query<{ deliveries: number }>(
    'select webhook.replay($1, $2, $3, $4, $5)::int as deliveries',
    [tenant, endpoint, from, to, dryRun],
  );
  return rows[0]?.deliveries ?? 0;
}
