import type { Catalogue, Relation } from './catalogue.ts';
import { isTenantData, mainTable, nameOf, primaryKey } from './catalogue.ts';
import type { HttpClient } from './client.ts';
import { isDirectory } from './fill/order.ts';
import type { Row } from './fill/row.ts';
import { type Marker, markersOf, valuesOf } from './markers.ts';
import type { OpenTarget } from './target.ts';
import type { Call, ProveOptions } from './types.ts';
import type { Letter, World } from './world.ts';

/** Everything that probes are made of. */
export interface Lab {
  target: OpenTarget;
  options: ProveOptions;
  catalogue: Catalogue;
  relations: Relation[];
  world: World;
  client: HttpClient;
  markers: Marker[];
  /** The rows of A, B and C as their owners see them, by relation. */
  seen: Map<string, Record<Letter, Row[]>>;
  /** Values of B's that A has written into rows of its own: from then on they prove nothing. */
  tainted: Set<string>;
  /** Those that were A's at any time: the ledger has them for ever. */
  written: Set<string>;
}

/** How a relation's rows of a tenant are asked for: every column, in the order of the key. */
export function listing(lab: Lab, relation: Relation, token: string): Call {
  const key = keyOf(lab, relation);
  const order = (key.length > 0 ? key : relation.columns.slice(0, 1).map(({ name }) => name)).map(encodeURIComponent);
  return {
    door: 'direct',
    method: 'GET',
    schema: relation.schema,
    path: `/${encodeURIComponent(relation.name)}?select=*&order=${order.join(',')}`,
    token,
  };
}

/** The columns that name a row of the relation, tenant and all, where it shows them. */
export function keyOf(lab: Pick<Lab, 'catalogue'>, relation: Relation): string[] {
  const key = primaryKey(mainTable(lab.catalogue, relation));
  return key.every((name) => relation.columns.some((column) => column.name === name)) ? key : [];
}

/** B's values that are nobody else's, in any table. */
export function worldMarkers(world: World, catalogue: Catalogue): Marker[] {
  const rowsOf = (letter: Letter) =>
    [...world.rows[letter]].flatMap(([name, rows]) => {
      const table = catalogue.tables.get(name);
      return table?.tenantColumn ? rows.map((row) => ({ row, directory: isDirectory(table) })) : [];
    });
  const identity = (letter: Letter): Row => ({
    id: world.tenants[letter],
    subjects: ['viewer', 'member', 'admin', 'owner'].map((role) => world.subject(letter, role)),
  });
  const others = [...rowsOf('A'), ...rowsOf('C')].map(({ row }) => row);
  const directory = [{ row: { id: world.tenants.B }, directory: true }];
  return markersOf(
    [...rowsOf('B'), { row: identity('B'), directory: false }, ...directory],
    [...others, identity('A'), identity('C')],
  );
}

/** The rows that belong to each tenant, out of what its owner is shown; another's among them are left to the probes. */
export async function readSeen(
  lab: Omit<Lab, 'seen'> & { seen?: Lab['seen'] },
  relation: Relation,
): Promise<Record<Letter, Row[]>> {
  const seen: Record<Letter, Row[]> = { A: [], B: [], C: [] };
  const tenants = lab.world.tenants;
  for (const letter of ['A', 'B', 'C'] as const) {
    const operator = !relation.grants.tenant_user?.select;
    const answer = await lab.client.ask(listing(lab as Lab, relation, operator ? 'operator' : `${letter}_owner`));
    if (answer.status !== 200) continue;
    const own = ownValues(lab.world, letter);
    const foreign = (['A', 'B', 'C'] as const).filter((other) => other !== letter).map((other) => tenants[other]);
    seen[letter] = (JSON.parse(answer.body) as Row[])
      .filter((row) => {
        const text = JSON.stringify(row);
        return (
          !isTenantData(lab.catalogue, relation) ||
          (own.some((value) => text.includes(value)) && !foreign.some((id) => text.includes(`"${id}"`)))
        );
      })
      .toSorted((left, right) => (JSON.stringify(left) < JSON.stringify(right) ? -1 : 1));
  }
  return seen;
}

const owned = new WeakMap<World, Map<Letter, string[]>>();

function ownValues(world: World, letter: Letter): string[] {
  const cache = owned.get(world) ?? new Map<Letter, string[]>();
  owned.set(world, cache);
  const known = cache.get(letter);
  if (known) return known;
  const tables = new Map(world.tables.map((table) => [table.name, table]));
  const values = [...world.rows[letter]].flatMap(([name, rows]) =>
    tables.get(name)?.tenantColumn ? rows.flatMap(valuesOf) : [],
  );
  const elsewhere = (['A', 'B', 'C'] as const)
    .filter((other) => other !== letter)
    .flatMap((other) => [...world.rows[other]].flatMap(([, rows]) => rows.flatMap(valuesOf)));
  const foreign = new Set(elsewhere);
  const own = [...new Set([world.tenants[letter], ...values])].filter((value) => !foreign.has(value));
  cache.set(letter, own);
  return own;
}

const shown = new WeakMap<Relation, string[]>();

/** What must be in an answer that shows B's rows of a relation. */
export function victimValues(lab: Lab, relation: Relation): string[] {
  const known = shown.get(relation);
  if (known) return known;
  const texts = new Set(lab.markers.map(({ text }) => text));
  const rows = lab.seen.get(nameOf(relation))?.B ?? [];
  const values = [...new Set(rows.flatMap((row) => valuesOf(row).filter((value) => texts.has(value))))];
  shown.set(relation, values);
  return values;
}
