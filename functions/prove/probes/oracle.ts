import { mainTable, type Relation, type Table } from '../catalogue.ts';
import type { Row } from '../fill/row.ts';
import { candidates } from '../fill/values.ts';
import { keyOf, type Lab } from '../lab.ts';
import { draw } from '../random.ts';
import type { Probe, Role } from '../types.ts';
import { doorsOf, pathTo, refusal, rowFilter, writingProbe } from './ask.ts';
import { freshBody, undoing } from './bodies.ts';

/** A value for a column that nobody has, however small its domain. */
function unusedValue(lab: Lab, table: Table, name: string): unknown {
  const column = table.columns.find((candidate) => candidate.name === name);
  const way = column && candidates(table, column)[0];
  return way ? draw(way, lab.world.seed, 'unused', table.name, name) : null;
}

/** References to B's row and to no row at all: one answer for both. */
export function foreignKeyProbes(lab: Lab, relation: Relation, role: Role): { probes: Probe[]; nothing?: string } {
  const table = mainTable(lab.catalogue, relation);
  const writable = relation.grants.tenant_user?.insert ?? [];
  const foreignKeys = (table?.foreignKeys ?? []).filter(({ columns, references }) => {
    const own = columns.filter((name) => name !== table?.tenantColumn);
    return (
      own.length > 0 &&
      own.every((name) => writable.includes(name)) &&
      lab.catalogue.tables.get(references)?.tenantColumn
    );
  });
  if (!table || foreignKeys.length === 0) return { probes: [], nothing: 'no reference that a client can set' };
  const probes = doorsOf(lab, role).flatMap((door) =>
    foreignKeys.map(({ name, columns, references, referenced }) => {
      const parent = lab.world.rows.B.get(references)?.[0] ?? {};
      const target = lab.catalogue.tables.get(references) as Table;
      const refer = (value: (column: string) => unknown): Row => {
        const body: Row = { ...freshBody(lab, relation) };
        columns.forEach((column, nth) => {
          if (column !== table.tenantColumn) body[column] = value(referenced[nth] as string);
        });
        return body;
      };
      const post = (body: Row | undefined) => ({ method: 'POST', path: pathTo(relation), body });
      const own = freshBody(lab, relation) ?? {};
      return writingProbe(relation, role, door, {
        verb: 'insert',
        family: 'foreign key',
        title: `${name} to B's row`,
        attack: post(refer((column) => parent[column])),
        twin: post(refer((column) => unusedValue(lab, target, column))),
        control: post(own),
        undo: undoing(lab, relation, [own]),
        refused: refusal(relation, role, 'insert'),
      });
    }),
  );
  return { probes };
}

/** Keys that B has taken and keys that nobody has: one answer for both. */
export function uniqueInsertProbes(lab: Lab, relation: Relation, role: Role): { probes: Probe[]; nothing?: string } {
  const table = mainTable(lab.catalogue, relation);
  const writable = relation.grants.tenant_user?.insert ?? [];
  const keys = (table?.keys ?? [])
    .map(({ name, columns }) => ({
      name,
      columns: columns.filter(
        (column) =>
          column !== table?.tenantColumn &&
          writable.includes(column) &&
          table?.columns.find(({ name }) => name === column)?.identity !== 'a',
      ),
    }))
    .filter(({ columns }) => columns.length > 0);
  if (!table || keys.length === 0) return { probes: [], nothing: 'no key that a client can set' };
  const probes = doorsOf(lab, role).flatMap((door) =>
    keys.flatMap(({ name, columns }) => {
      // One of B's rows for each role and door: what was taken once is A's own the second time.
      const taken =
        lab.world.rows.B.get(table.name)?.[door === 'edge' ? 1 : 0] ?? lab.world.rows.B.get(table.name)?.[0];
      if (!taken || columns.every((column) => taken[column] === null)) return [];
      const body = freshBody(lab, relation) ?? {};
      const attack: Row = { ...body };
      for (const column of columns) attack[column] = taken[column];
      const twin = freshBody(lab, relation);
      const references = table.foreignKeys.some((foreignKey) =>
        foreignKey.columns.some((column) => columns.includes(column) && column !== table.tenantColumn),
      );
      for (const column of columns)
        if (references && twin)
          twin[column] = table.foreignKeys.some((foreignKey) => foreignKey.columns.includes(column))
            ? unusedValue(lab, table, column)
            : twin[column];
      const own = freshBody(lab, relation) ?? {};
      const probe = writingProbe(relation, role, door, {
        verb: 'insert',
        family: 'unique',
        title: `${name}, taken by B`,
        attack: { method: 'POST', path: pathTo(relation), body: attack },
        twin: { method: 'POST', path: pathTo(relation), body: twin },
        control: { method: 'POST', path: pathTo(relation), body: own },
        undo: undoing(lab, relation, [own]),
        refused: refusal(relation, role, 'insert'),
      });
      // Afterwards A's own namesake goes, so that the next role asks anew.
      return undoing(lab, relation, [attack]).map((after) => ({ ...probe, after }));
    }),
  );
  return { probes };
}

/** A's spare row is given a key that B has, and one that nobody has. */
export function uniqueUpdateProbes(
  lab: Lab,
  relation: Relation,
  role: Role,
  spare: Row,
): { probes: Probe[]; nothing?: string } {
  const table = mainTable(lab.catalogue, relation);
  const writable = relation.grants.tenant_user?.update ?? [];
  const key = keyOf(lab, relation);
  const keys = (table?.keys ?? []).filter(
    ({ columns, primary }) =>
      !primary && columns.some((column) => column !== table?.tenantColumn && writable.includes(column)),
  );
  if (!table || keys.length === 0 || key.length === 0)
    return { probes: [], nothing: 'no key beside the primary one that a client can change' };
  const probes = doorsOf(lab, role).flatMap((door) =>
    keys.map(({ name, columns }) => {
      const taken = lab.world.rows.B.get(table.name)?.[0] ?? {};
      const changed = columns.filter((column) => column !== table.tenantColumn && writable.includes(column));
      const patch = (value: (column: string) => unknown) => ({
        method: 'PATCH',
        path: pathTo(relation, ...rowFilter(key, spare)),
        body: Object.fromEntries(changed.map((column) => [column, value(column)])),
      });
      return writingProbe(relation, role, door, {
        verb: 'update',
        family: 'unique',
        title: `${name}, taken by B`,
        attack: patch((column) => taken[column]),
        twin: patch((column) => unusedValue(lab, table, column)),
        control: patch((column) => spare[column]),
        refused: refusal(relation, role, 'update', changed),
      });
    }),
  );
  return { probes };
}
