import type { Acting } from './types.ts';
import { HOOK } from './webhook-acting.ts';

/** What the ids of endpoints that rules plant begin with; those of the world do not. */
export const PLANTED = '00000000-0000-4000-8000-';
export type Owner = 'A' | 'B';

export interface Endpoint {
  of: Owner;
  id: string;
  types: readonly string[];
  enabled?: boolean;
  watermark?: number;
}

/**
 * With their states, as all that their tenants have enabled; then the dispatcher's role. Past the ledger, or this transaction would keep
 * back what is dispatched.
 */
export async function plantEndpoints({ ok, unforced, facts }: Acting, endpoints: readonly Endpoint[]): Promise<void> {
  const columns = [
    endpoints.map(({ of }) => facts.world.tenants[of]),
    endpoints.map(({ id }) => id),
    endpoints.map(({ types }) => types.join()),
    endpoints.map(({ enabled = true }) => enabled),
  ];
  await ok('alter table webhook.endpoints disable trigger user');
  await unforced('webhook.endpoints', async () => {
    await ok(
      `update webhook.endpoints set enabled = false, disabled_reason = 'gone', disabled_at = now() where enabled and tenant_id = any ($1)`,
      [columns[0]],
    );
    await ok(
      `insert into webhook.endpoints (tenant_id, id, url, event_types, enabled, disabled_reason, disabled_at)
       select tenant, id, '${HOOK}', string_to_array(types, ','), enabled, case when not enabled then 'gone' end, case when not enabled then now() end
       from unnest($1::text[], $2::uuid[], $3::text[], $4::boolean[]) as wanted (tenant, id, types, enabled)`,
      columns,
    );
  });
  await ok('set local role rowhouse_dispatcher');
  await ok(
    `insert into webhook.endpoint_states (tenant_id, endpoint_id, watermark) select * from unnest($1::text[], $2::uuid[], $3::bigint[])`,
    [...columns.slice(0, 2), endpoints.map(({ watermark = 0 }) => watermark)],
  );
}

/** Of which only the endpoints matter: that many, of one type. */
export const several = (of: Owner, type: string, count: number, first: number, enabled = true): Endpoint[] =>
  Array.from({ length: count }, (_, nth) => ({
    of,
    id: `${PLANTED}00000000b${String(first + nth).padStart(3, '0')}`,
    types: [type],
    enabled,
  }));

export interface Entry {
  tenant: string;
  /** Those below 0 are below each cursor, and nobody else's. */
  position: number;
  source: string;
  operation?: 'emit' | 'insert';
}

/** The next ones: between two of a statement that writes there may be others. */
export async function drawPositions({ ok }: Acting, count: number): Promise<number[]> {
  await ok('set local role rowhouse_owner');
  const drawn = await ok<{ position: string }>(
    `select nextval('ledger.positions') as position from generate_series(1, $1)`,
    [count],
  );
  await ok('set local role rowhouse_dispatcher');
  return drawn.map(({ position }) => Number(position));
}

/** Past ledger.announce(), for the same reason. */
export async function plantEntries({ ok }: Acting, entries: readonly Entry[]): Promise<void> {
  await ok('set local role rowhouse_owner');
  await ok(
    `insert into ledger.entries (tenant_id, slot, position, table_name, operation, row_id, new)
     select tenant, ledger.slot(tenant), position, source, operation, 's', '{}'
     from unnest($1::text[], $2::bigint[], $3::text[], $4::text[]) as wanted (tenant, position, source, operation)`,
    [
      entries.map(({ tenant }) => tenant),
      entries.map(({ position }) => position),
      entries.map(({ source }) => source),
      entries.map(({ operation = 'emit' }) => operation),
    ],
  );
  await ok('set local role rowhouse_dispatcher');
}

/** Sets a tenant aside from webhooks; from where, if any before it. */
export const plantBacklog = ({ ok }: Acting, tenant: string, position: number) =>
  ok(
    `insert into ledger.backlogs as b (tenant_id, consumer, slot, position) values ($1::text, 'webhooks', ledger.slot($1::text), $2)
     on conflict (tenant_id, consumer) do update set position = excluded.position`,
    [tenant, position],
  );
