import { databaseRole, mainTable, nameOf, type Relation } from '../catalogue.ts';
import type { Row } from '../fill/row.ts';
import { keyOf, type Lab } from '../lab.ts';
import type { Probe, Role } from '../types.ts';
import { doorsOf, pathTo, refusal, rowFilter, type Writing, writingProbe } from './ask.ts';
import { nobodys, victims } from './read.ts';

const RETURNING = { prefer: 'return=representation' };

export const ownRows = (lab: Lab, relation: Relation): Row[] => lab.seen.get(nameOf(relation))?.A ?? [];

/** The columns that name a row; all plain ones where the view shows no key. */
export function naming(lab: Lab, relation: Relation, row: Row): string[] {
  const key = keyOf(lab, relation);
  return key.length > 0
    ? key
    : Object.keys(row)
        .filter((name) => ['string', 'number'].includes(typeof row[name]))
        .slice(0, 3);
}

/** What clients may set and the database lets be set. */
function settable(lab: Lab, relation: Relation): string[] {
  const table = mainTable(lab.catalogue, relation);
  const fixed = (name: string) =>
    table?.columns.some((column) => column.name === name && (column.generated || column.identity === 'a'));
  return (relation.grants.tenant_user?.update ?? []).filter((name) => !fixed(name));
}

/** B's key with its last part changed to what nobody has. */
export function unknownRow(lab: Lab, relation: Relation, row: Row, names: readonly string[]): Row | undefined {
  const last = names.at(-1);
  const value = last === undefined ? undefined : nobodys(lab, row[last], nameOf(relation), last, 'change');
  return last === undefined || value === undefined ? undefined : { ...row, [last]: value };
}

/** Every column of B's row: those that clients may set, and those that nobody gave them. */
export function updateProbes(lab: Lab, relation: Relation, role: Role): Probe[] {
  const victim = victims(lab, relation)[0] ?? {};
  const own = ownRows(lab, relation)[0] ?? {};
  const names = naming(lab, relation, victim);
  const unknown = unknownRow(lab, relation, victim, names);
  const writable = relation.grants[databaseRole(role)]?.update ?? [];
  const grants = relation.grants.tenant_user?.update ?? [];
  return doorsOf(lab, role).flatMap((door) => {
    const columns = relation.columns.map(({ name }) => name);
    const chosen =
      door === 'edge' || lab.options.quick
        ? columns.filter((name, nth) => grants.includes(name) || nth === 0)
        : columns;
    return chosen.map((name) => {
      const patch = (row: Row) => ({
        method: 'PATCH',
        path: pathTo(relation, 'select=*', ...rowFilter(names, row)),
        body: { [name]: own[name] ?? null },
        headers: RETURNING,
      });
      const writing: Writing = {
        verb: 'update',
        family: 'row',
        title: `${name} of B's row`,
        attack: patch(victim),
        twin: unknown && writable.includes(name) ? patch(unknown) : undefined,
        control: settable(lab, relation).includes(name) && Object.keys(own).length > 0 ? patch(own) : undefined,
        refused: refusal(relation, role, 'update', [name]),
      };
      return writingProbe(relation, role, door, writing);
    });
  });
}

/** A's own row is handed to B, or moved onto B's key. */
export function moveProbes(lab: Lab, relation: Relation, role: Role): Probe[] {
  const own = ownRows(lab, relation)[0] ?? {};
  const victim = victims(lab, relation)[0] ?? {};
  const names = naming(lab, relation, own);
  const tenantColumn = relation.columns.find(({ name }) => victim[name] === lab.world.tenants.B)?.name;
  return doorsOf(lab, role).flatMap((door) => {
    const patch = (body: Row) => ({
      method: 'PATCH',
      path: pathTo(relation, ...rowFilter(names, own)),
      body,
      headers: RETURNING,
    });
    const moves: [title: string, body: Row][] = [
      [
        'to tenant B',
        tenantColumn
          ? { [tenantColumn]: lab.world.tenants.B }
          : Object.fromEntries(names.map((name) => [name, victim[name]])),
      ],
      ["onto B's key, tenant and all", Object.fromEntries(names.map((name) => [name, victim[name]]))],
    ];
    return moves.map(([title, body]) =>
      writingProbe(relation, role, door, {
        verb: 'update',
        family: 'move',
        title,
        attack: patch(body),
        control:
          Object.keys(body).every((name) => settable(lab, relation).includes(name)) && Object.keys(own).length > 0
            ? patch(Object.fromEntries(Object.keys(body).map((name) => [name, own[name]])))
            : undefined,
        mayTouchNothing: refusal(relation, role, 'update', Object.keys(body)) === undefined,
        refused:
          refusal(relation, role, 'update', Object.keys(body)) ??
          (tenantColumn ? 'it names another tenant' : undefined),
      }),
    );
  });
}

/** All rows that the policies let it change, without a filter: no policy for reading comes between. */
export function updateSweeps(lab: Lab, relation: Relation, role: Role): Probe[] {
  const own = ownRows(lab, relation)[0] ?? {};
  const victim = victims(lab, relation)[0] ?? {};
  const table = mainTable(lab.catalogue, relation);
  const keys = table?.keys.flatMap(({ columns }) => columns) ?? [];
  const column = settable(lab, relation).find((name) => !keys.includes(name)) ?? relation.columns[0]?.name ?? '';
  const tenantColumn = relation.columns.find(({ name }) => victim[name] === lab.world.tenants.B)?.name;
  const sweep = (family: 'row' | 'move', title: string, body: Row): Probe =>
    writingProbe(relation, role, 'direct', {
      verb: 'update',
      family,
      title,
      attack: { method: 'PATCH', path: pathTo(relation), body, headers: { prefer: 'return=minimal' } },
      refused: refusal(relation, role, 'update', Object.keys(body)),
    });
  return [
    sweep('row', `${column} of all rows, unfiltered`, { [column]: own[column] ?? null }),
    ...(tenantColumn
      ? [sweep('move', 'all rows to tenant B, unfiltered', { [tenantColumn]: lab.world.tenants.B })]
      : []),
  ];
}
