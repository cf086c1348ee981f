import type { Acting } from './types.ts';

export const MAX_ENTRIES = 10;
/** Of no table: whoever else follows the ledger has nothing to do with these entries. */
export const WANTED = 'prove.wanted';
export const UNWANTED = 'prove.unwanted';

/** Tenants that need not exist: two of one slot, one of another. */
export interface Crowd {
  large: string;
  small: string;
  elsewhere: string;
  slots: readonly number[];
}

/** Consumers of their own, with nothing to follow yet, and the dispatcher's role. */
export async function makeCrowd({ ok }: Acting, ...consumers: readonly string[]): Promise<Crowd> {
  for (const consumer of consumers) await ok(`select ledger.add_consumer($1, '{${WANTED}}')`, [consumer]);
  await ok('set local role rowhouse_dispatcher');
  const found = await ok<{ id: string; slot: number }>(
    `select id, ledger.slot(id) as slot from (select 't_prove_' || n as id from generate_series(1, 200) as n) as ids order by slot, id`,
  );
  const [large, small, elsewhere] = [found[0], found[1], found.at(-1)].map((row) => row?.id ?? '') as [
    string,
    string,
    string,
  ];
  return { large, small, elsewhere, slots: [found[0]?.slot ?? -1, found.at(-1)?.slot ?? -1] };
}

/** Entries of a tenant, named by number. Past ledger.announce(): this transaction would keep back what it writes. */
export async function plantEntries(
  { ok }: Acting,
  tenant: string,
  from: number,
  to = from,
  source = WANTED,
): Promise<void> {
  await ok('set local role rowhouse_owner');
  await ok(
    `insert into ledger.entries (tenant_id, slot, table_name, operation, row_id)
     select $1::text, ledger.slot($1::text), $2, 'insert', n from generate_series($3::integer, $4::integer) as n`,
    [tenant, source, from, to],
  );
  await ok('set local role rowhouse_dispatcher');
}

interface Taken {
  slot: number;
  upto_position: string;
  has_backlogs: boolean;
  tenant_id: string | null;
  row_id: string | null;
}

/** Numbers by tenant, in the order in which they came. */
function numbered(crowd: Crowd, rows: readonly Pick<Taken, 'tenant_id' | 'row_id'>[]): Record<string, number[]> {
  const names = new Map(Object.entries(crowd).map(([name, id]) => [id, name]));
  const given = Map.groupBy(
    rows.filter(({ row_id }) => row_id !== null),
    ({ tenant_id }) => names.get(tenant_id ?? '') ?? tenant_id,
  );
  return Object.fromEntries([...given].map(([name, some]) => [name, some.map(({ row_id }) => Number(row_id))]));
}

const LOOKS = 40;

const PLANTED = `select e.slot, max(e.position) as last from ledger.entries as e
  join ledger.lag() as l on l.consumer = $1 and l.slot = e.slot and l.position < e.position
  where e.tenant_id = any ($2) and e.table_name = '${WANTED}' group by e.slot`;

/** A round of a worker over all slots, once no other writer keeps back what is planted. */
export async function round({ ok }: Acting, crowd: Crowd, consumer: string) {
  const planted = await ok<{ slot: number; last: string }>(PLANTED, [
    consumer,
    [crowd.large, crowd.small, crowd.elsewhere],
  ]);
  for (let looks = 1; ; looks++) {
    await ok('savepoint round');
    const rows = await ok<Taken>(`select * from ledger.take($1, 16, ${MAX_ENTRIES})`, [consumer]);
    const reached = new Map(rows.map(({ slot, upto_position }) => [slot, upto_position]));
    const settled = planted.every(({ slot, last }) => BigInt(reached.get(slot) ?? -1) >= BigInt(last));
    if (settled || looks === LOOKS) {
      await ok('select ledger.advance($1, $2, $3)', [consumer, [...reached.keys()], [...reached.values()]]);
      return { given: numbered(crowd, rows), hasBacklogs: rows.some(({ has_backlogs }) => has_backlogs) };
    }
    await ok('select ledger.release($1)', [consumer]);
    await ok('rollback to savepoint round');
    await ok('select pg_sleep(0.05)');
  }
}

export const takeBacklogs = async ({ ok }: Acting, crowd: Crowd, consumer: string) =>
  numbered(crowd, await ok<Taken>(`select * from ledger.take_backlogs($1, 16, ${MAX_ENTRIES})`, [consumer]));
