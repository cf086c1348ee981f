import type { Pool } from '../../functions/database.ts';
import type { LoadRequest } from '../load.ts';
import type { Tenant } from '../wall/tables.ts';
import { emptyTables, type SideName, TABLE_OF } from './tables.ts';

export interface Side {
  name: SideName;
  title: string;
  gated: boolean;
  origin: string;
  /** By number of rows in one POST. */
  requests: Record<1 | 1000, readonly LoadRequest[]>;
}

const SIDES: readonly (Omit<Side, 'origin' | 'requests'> & { schema: string })[] = [
  { name: 'flat', title: 'bare table', gated: false, schema: 'write_flat' },
  { name: 'flat_gated', title: '+ gate', gated: true, schema: 'write_flat' },
  { name: 'sealed', title: '+ policies of the seal', gated: true, schema: 'write_sealed' },
  { name: 'partitioned', title: '+ 32 hash partitions', gated: true, schema: 'write_partitioned' },
  { name: 'shipped', title: '+ view, ledger: as shipped', gated: true, schema: 'v1' },
];

const BODY =
  'A note is as long as a short message: two sentences, or a line of a log. This one has 120 characters, more or less.';

/** @param origins of the PostgREST with the gate and the one without */
export function sidesOf(origins: { gated: string; ungated: string }, tenants: readonly Tenant[]): Side[] {
  return SIDES.map(({ schema, ...side }) => {
    const inserting = (rows: number): LoadRequest[] =>
      tenants.map(({ id, token }) => {
        // On the flat table the client says whose rows they are; behind the wall the seal does.
        const owner = schema === 'write_flat' ? { tenant_id: id } : {};
        const notes = Array.from({ length: rows }, (_, nth) => ({ ...owner, title: `note ${nth}`, body: BODY }));
        return {
          method: 'POST',
          path: '/notes',
          headers: {
            authorization: `Bearer ${token}`,
            'content-profile': schema,
            'content-type': 'application/json',
            prefer: 'return=minimal',
          },
          body: JSON.stringify(rows === 1 ? notes[0] : notes),
        };
      });
    const origin = side.gated ? origins.gated : origins.ungated;
    return { ...side, origin, requests: { 1: inserting(1), 1000: inserting(1000) } };
  });
}

/** @throws Error unless each request of each side leaves the same rows, of the tenant that sent it, and the shipped one an entry for each */
export async function checkAnswers(admin: Pool, sides: readonly Side[]): Promise<void> {
  const read = (table: string) =>
    admin.query<{ rows: string }>(
      `select json_agg(row_to_json(r))::text as rows
       from (select tenant_id, title, body, count(*) from ${table} group by 1, 2, 3 order by 1, 2, 3) as r`,
    );
  let expected = '';
  for (const side of sides) {
    await emptyTables(admin);
    for (const { method = 'POST', path, headers, body = '' } of [...side.requests[1], ...side.requests[1000]]) {
      const answer = await fetch(`${side.origin}${path}`, { method, headers, body });
      if (answer.status !== 201) throw new Error(`${side.name} answered ${answer.status}: ${await answer.text()}`);
      await answer.body?.cancel();
    }
    const { rows } = await read(TABLE_OF[side.name]);
    expected ||= rows[0]?.rows ?? '';
    if (rows[0]?.rows !== expected) throw new Error(`${side.name} has other rows than ${sides[0]?.name}`);
  }
  const { rows } = await admin.query<{ missing: number }>(
    `select count(*)::int as missing from app.notes as n where not exists (select from ledger.entries as e
     where e.tenant_id = n.tenant_id and e.table_name = 'app.notes' and e.row_id = n.id::text and e.operation = 'insert')`,
  );
  if (rows[0]?.missing !== 0) throw new Error(`${rows[0]?.missing} rows are not in the ledger`);
}
