import { nameOf, type Relation } from '../catalogue.ts';
import type { Row } from '../fill/row.ts';
import { keyOf, type Lab } from '../lab.ts';
import { uuid, word } from '../random.ts';
import type { Probe, Role } from '../types.ts';
import { doorsOf, param, rowFilter } from './ask.ts';
import { readingProbe } from './reading.ts';

/** B's rows of a relation as its owner sees them. */
export const victims = (lab: Lab, relation: Relation): Row[] => lab.seen.get(nameOf(relation))?.B ?? [];

/** A value of the same kind that nobody has. Undefined where there is no such value. */
export function nobodys(lab: Lab, value: unknown, ...key: string[]): string | undefined {
  if (typeof value === 'number') return Math.abs(value) >= 100_000 ? String(Math.trunc(value) + 77_777) : undefined;
  if (typeof value !== 'string' || !lab.markers.some(({ text }) => text === value)) return undefined;
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-/.test(value)) return uuid(lab.world.seed, 'nobody', ...key);
  if (/^\d{4}-\d\d-\d\d/.test(value) || /^[[({]/.test(value)) return undefined;
  return word(12, lab.world.seed, 'nobody', ...key);
}

/** Reads of everything, of B's row by its key, and of B's tenant by name. */
export function readProbes(lab: Lab, relation: Relation, role: Role): Probe[] {
  const row = victims(lab, relation)[0] ?? {};
  const key = keyOf(lab, relation);
  const unknown: Row = { ...row };
  for (const name of key) {
    const value = nobodys(lab, row[name], nameOf(relation), name);
    if (value !== undefined) unknown[name] = value;
  }
  const differs = JSON.stringify(unknown) !== JSON.stringify(row);
  return doorsOf(lab, role).flatMap((door) => {
    const probes = [
      readingProbe(lab, relation, role, door, { family: 'read', title: 'everything', query: ['select=*'] }),
    ];
    if (key.length > 0) {
      const twinQuery = differs ? ['select=*', ...rowFilter(key, unknown)] : undefined;
      probes.push(
        readingProbe(lab, relation, role, door, {
          family: 'read',
          title: "B's row by its key",
          query: ['select=*', ...rowFilter(key, row)],
          twinQuery,
        }),
      );
      probes.push(
        readingProbe(lab, relation, role, door, {
          family: 'read',
          title: "B's row by its key, HEAD",
          method: 'HEAD',
          query: ['select=*', ...rowFilter(key, row)],
          twinQuery,
        }),
      );
    }
    const tenantColumn = relation.columns.find(({ name }) => row[name] === lab.world.tenants.B)?.name;
    if (tenantColumn) {
      probes.push(
        readingProbe(lab, relation, role, door, {
          family: 'read',
          title: "all of B's",
          query: ['select=*', param(tenantColumn, `eq.${lab.world.tenants.B}`)],
          twinQuery: ['select=*', param(tenantColumn, `eq.${lab.world.run}_nobody`)],
        }),
      );
      probes.push(
        readingProbe(lab, relation, role, door, {
          family: 'read',
          title: "its own or B's",
          query: [
            'select=*',
            `or=(${tenantColumn}.eq.${lab.world.tenants.B},${tenantColumn}.eq.${lab.world.tenants.A})`,
          ],
        }),
      );
    }
    return probes;
  });
}

/** Order by each column, both ways; the first rows of a list that is not one's own. */
export function orderProbes(lab: Lab, relation: Relation, role: Role): Probe[] {
  return doorsOf(lab, role, true).flatMap((door) =>
    relation.columns.flatMap(({ name }, nth) => {
      if ((door === 'edge' || lab.options.quick) && nth > 1) return [];
      const type = relation.columns[nth]?.type;
      if (type?.name === 'json' || type?.name === 'xml' || type?.name === 'point') return [];
      return [
        readingProbe(lab, relation, role, door, {
          family: 'order',
          title: `by ${name}`,
          query: ['select=*', `order=${encodeURIComponent(name)}.${nth % 2 === 0 ? 'asc' : 'desc.nullslast'}`],
        }),
      ];
    }),
  );
}
