import { type Column, mainTable, nameOf, type Relation, type Table } from '../catalogue.ts';
import type { Row } from '../fill/row.ts';
import { candidates } from '../fill/values.ts';
import type { Lab } from '../lab.ts';
import { draw } from '../random.ts';
import type { Call } from '../types.ts';
import { pathTo, rowFilter } from './ask.ts';

const counters = new WeakMap<Lab, Map<string, number>>();

function next(lab: Lab, name: string): number {
  const counts = counters.get(lab) ?? new Map<string, number>();
  counters.set(lab, counts);
  const count = (counts.get(name) ?? 0) + 1;
  counts.set(name, count);
  return count;
}

function asJson(column: Column, text: string): unknown {
  return /^jsonb?$/.test(column.type.name) ? JSON.parse(text) : text;
}

/** Columns that must differ from one row to the next. */
function distinctColumns(table: Table): string[] {
  const keys = [
    ...table.keys.map(({ columns }) => columns),
    ...table.checks.filter(({ definition }) => definition.startsWith('EXCLUDE')).map(({ columns }) => columns),
  ];
  return [...new Set(keys.flat())].filter((name) => name !== table.tenantColumn);
}

/**
 * A new row of A's as a client may send it: like one that is stored, with new keys. Each call gives another.
 * @returns undefined where clients insert nothing, or nothing of A's is there to be like
 */
export function freshBody(lab: Lab, relation: Relation): Row | undefined {
  const table = mainTable(lab.catalogue, relation);
  const template = table && lab.world.rows.A.get(table.name)?.[0];
  const allowed = relation.grants.tenant_user?.insert ?? [];
  if (!table || !template || allowed.length === 0) return undefined;
  const nth = next(lab, nameOf(relation));
  const distinct = distinctColumns(table);
  const referring = table.foreignKeys.flatMap(({ columns }) => columns);
  const body: Row = {};
  for (const column of table.columns) {
    if (!allowed.includes(column.name) || column.generated || column.identity === 'a') continue;
    const way = candidates(table, column)[0];
    const redraw = distinct.includes(column.name) && !referring.includes(column.name) && way;
    body[column.name] = redraw
      ? asJson(column, draw(way, lab.world.seed, 'fresh', nameOf(relation), column.name, nth))
      : template[column.name];
  }
  // A key made of references alone: another pair of parents each time.
  if (distinct.every((name) => referring.includes(name))) {
    table.foreignKeys.forEach(({ columns, references, referenced }, order) => {
      const parents = lab.world.rows.A.get(references) ?? [];
      const count = Math.max(1, parents.length);
      const step = order === 0 ? nth : nth + 1 + (Math.floor(nth / count) % Math.max(1, count - 1));
      const parent = parents[step % count];
      columns.forEach((name, at) => {
        if (name !== table.tenantColumn && Object.hasOwn(body, name) && parent)
          body[name] = parent[referenced[at] as string];
      });
    });
  }
  return body;
}

/** Plain values of a body that find its row again. */
export function findable(lab: Lab, relation: Relation, body: Row): string[] {
  const table = mainTable(lab.catalogue, relation);
  const key = table?.keys
    .map(({ columns }) => columns)
    .find((columns) =>
      columns.every((name) => name === table.tenantColumn || (Object.hasOwn(body, name) && body[name] !== null)),
    );
  return (key ?? Object.keys(body).filter((name) => ['string', 'number'].includes(typeof body[name]))).filter(
    (name) => name !== table?.tenantColumn,
  );
}

/** Deletes what bodies have made. */
export function undoing(lab: Lab, relation: Relation, bodies: readonly Row[]): Call[] {
  return bodies.map((body) => ({
    door: 'direct',
    method: 'DELETE',
    schema: relation.schema,
    path: pathTo(relation, ...rowFilter(findable(lab, relation, body), body)),
    token: 'A_owner',
  }));
}

/** The same body as B's: its tenant, if a client can name one. */
export function foreignBody(lab: Lab, relation: Relation, body: Row): Row {
  const tenantColumn = mainTable(lab.catalogue, relation)?.tenantColumn;
  return tenantColumn && relation.columns.some(({ name }) => name === tenantColumn)
    ? { ...body, [tenantColumn]: lab.world.tenants.B }
    : body;
}
