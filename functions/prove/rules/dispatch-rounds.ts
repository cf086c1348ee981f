import { type Owner, PLANTED } from './dispatch-acting.ts';
import type { Acting } from './types.ts';

/** More entries than there are. */
export const ALL = 100_000;
const LOOKS = 40;

const nameOf = ({ facts }: Acting, tenant: string, endpoint: string): string =>
  `${['A', 'B'].find((letter) => facts.world.tenants[letter as Owner] === tenant) ?? tenant} ${endpoint.slice(-4)}`;

/** Deliveries of planted entries, as `tenant endpoint position type`. */
export async function delivered(acting: Acting, from: number, to: number): Promise<string[]> {
  const rows = await acting.ok<Record<'tenant_id' | 'endpoint_id' | 'position' | 'event_type', string>>(
    `select tenant_id, endpoint_id, position, event_type from webhook.deliveries
     where position between $1 and $2 and endpoint_id::text like $3`,
    [from, to, `${PLANTED}%`],
  );
  return rows
    .map((row) => `${nameOf(acting, row.tenant_id, row.endpoint_id)} ${row.position} ${row.event_type}`)
    .toSorted();
}

interface Told {
  slot?: number | null;
  position?: string;
  tenant_id: string | null;
  endpoint_id: string | null;
}

/** Endpoints of A's and B's that the worker is told of, beside those that the world has. */
const toldOf = (acting: Acting, rows: readonly Told[]): string[] =>
  rows
    .flatMap(({ tenant_id, endpoint_id }) =>
      tenant_id && endpoint_id?.startsWith(PLANTED) ? [nameOf(acting, tenant_id, endpoint_id)] : [],
    )
    .toSorted();

/** A round of backlogs: of all, since others may have some. */
export const dispatchBacklogs = async (acting: Acting, most: number): Promise<string[]> =>
  toldOf(
    acting,
    await acting.ok<Told>('select tenant_id, endpoint_id from webhook.dispatch_backlogs(1000, $1)', [most]),
  );

/** Waits for rounds of workers, and has them wait: before anything that such a round could wait for. */
export const holdSlots = async ({ ok }: Acting): Promise<void> =>
  void (await ok(
    `select pg_advisory_xact_lock(ledger.cursor_key('webhooks', slot)) from generate_series(0, 15) as slot`,
  ));

/** A round over all slots, once no writer keeps back what is planted. No cursor moves. */
export async function dispatch(acting: Acting, last: number, wide: readonly string[] = []): Promise<string[]> {
  const { ok, facts } = acting;
  const { A, B } = facts.world.tenants;
  const slots = await ok<{ slot: number }>('select ledger.slot(id) as slot from unnest($1::text[]) as id', [[A, B]]);
  for (let looks = 1; ; looks++) {
    await ok('savepoint dispatch');
    const rows = await ok<Told>('select slot, position, tenant_id, endpoint_id from webhook.dispatch(16, $1, $2)', [
      ALL,
      wide,
    ]);
    const reached = new Map(rows.map(({ slot, position }) => [slot, Number(position)]));
    if (looks === LOOKS || slots.every(({ slot }) => (reached.get(slot) ?? -1) >= last)) return toldOf(acting, rows);
    await ok('rollback to savepoint dispatch');
    await ok('select pg_sleep(0.05)');
  }
}
