import type { Acting, Rule, RuleFacts } from './types.ts';

export const NOBODYS = '00000000-0000-4000-8000-000000000000';
export const HOOK = 'https://hooks.invalid/prove';

export const webhookRule = (
  about: string,
  title: string,
  check: Rule['check'],
  login: Rule['login'] = 'authenticator',
): Rule => ({ about, family: 'state', title, login, check });

/** Its arguments beside the URL begin with a comma. */
export const make = (more = '', url = HOOK): string => `select v1.create_webhook_endpoint('${url}'${more}) as made`;

export interface Made {
  id: string;
  created_by: string;
  headers: Record<string, null>;
}

export async function createEndpoint({ ok }: Acting, more = ''): Promise<Made> {
  const [row] = await ok<{ made: Made }>(make(more));
  return row?.made as Made;
}

/** Of two endpoints that are planted, the first in both tenants; and of what is appended. */
export const ONE = '00000000-0000-4000-8000-00000000a001';
export const OTHER = '00000000-0000-4000-8000-00000000a002';
export const TYPE = 'prove.done';

/** Where a planted endpoint or delivery is. */
export type Place = 'its' | "B's" | "another's";

export const placeOf = (place: Place, { world }: RuleFacts): [tenant: string, endpoint: string] => [
  place === "B's" ? world.tenants.B : world.tenants.A,
  place === "another's" ? OTHER : ONE,
];

const PLACES: readonly Place[] = ['its', "B's", "another's"];

/** An endpoint of A's, one of B's of the same id, and another of A's; then the dispatcher's role. */
export async function plantEndpoints({ ok, unforced, facts }: Acting, ordering: 'none' | 'subject'): Promise<void> {
  const places = PLACES.map((place) => placeOf(place, facts));
  const keys = [places.map(([tenant]) => tenant), places.map(([, endpoint]) => endpoint)];
  await unforced('webhook.endpoints', async () => {
    await ok(
      `insert into webhook.endpoints (tenant_id, id, url, event_types, ordering)
       select tenant, id, '${HOOK}', '{${TYPE}}', $3 from unnest($1::text[], $2::uuid[]) as wanted (tenant, id)`,
      [...keys, ordering],
    );
  });
  await ok('set local role rowhouse_dispatcher');
  await ok(
    `insert into webhook.endpoint_states (tenant_id, endpoint_id, watermark) select *, 3 from unnest($1::text[], $2::uuid[])`,
    keys,
  );
}

export interface Planted {
  place?: Place;
  position: string | number;
  status?: 'pending' | 'succeeded' | 'dead';
  key?: string;
  next?: string;
  dead?: string;
  created?: string;
  payload?: string;
}

export async function plantDeliveries({ ok, facts }: Acting, planted: readonly Planted[]): Promise<void> {
  for (const { place = 'its', position, status = 'pending', ...row } of planted)
    await ok(
      `insert into webhook.deliveries (tenant_id, endpoint_id, position, event_type, status, attempts, attempted_at, ordering_key, next_attempt_at,
         dead_at, created_at, payload)
       values ($1, $2, $3, '${TYPE}', $4, 1, now(), $5, $6, $7, coalesce($8::timestamptz, now()), $9)`,
      [...placeOf(place, facts), position, status, row.key, row.next, row.dead, row.created, row.payload],
    );
}

export interface Event {
  tenant?: 'A' | 'B';
  type?: string;
  subject?: string;
}

export async function append(
  { ok, facts }: Acting,
  { tenant = 'A', type = TYPE, subject = 's' }: Event = {},
): Promise<string> {
  const [row] = await ok<{ position: string }>(`select ledger.append_event($1, $2, $3, '{}') as position`, [
    facts.world.tenants[tenant],
    type,
    subject,
  ]);
  return row?.position ?? '';
}
