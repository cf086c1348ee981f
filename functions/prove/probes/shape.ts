import type { Relation } from '../catalogue.ts';
import { keyOf, type Lab } from '../lab.ts';
import type { Probe, Role } from '../types.ts';
import { doorsOf, param, rowFilter } from './ask.ts';
import { victims } from './read.ts';
import { type Reading, readingProbe } from './reading.ts';

const EXACT = { prefer: 'count=exact' };

/** Counts: exact ones of one's own; none that statistics over all tenants answer; no aggregate over another's. */
export function countProbes(lab: Lab, relation: Relation, role: Role): Probe[] {
  const row = victims(lab, relation)[0] ?? {};
  const key = keyOf(lab, relation);
  const byKey = key.length > 0 ? rowFilter(key, row) : [];
  const tenantColumn = relation.columns.find(({ name }) => row[name] === lab.world.tenants.B)?.name;
  const own = tenantColumn ? ['select=*', param(tenantColumn, `eq.${lab.world.tenants.A}`)] : undefined;
  const readings: Reading[] = [
    {
      family: 'count',
      title: 'exact, all',
      headers: EXACT,
      method: 'HEAD',
      query: ['select=*'],
      twinQuery: own,
      shows: null,
    },
    { family: 'count', title: "exact, of B's row", headers: EXACT, query: ['select=*', ...byKey] },
    {
      family: 'count',
      title: 'aggregate',
      query: ['select=count()'],
      uncontrolled: true,
      ...(own ? { twinQuery: [...own.slice(1), 'select=count()'] } : {}),
    },
    ...(['planned', 'estimated'] as const).map(
      (mode): Reading => ({
        family: 'count',
        title: mode,
        query: ['select=*', ...byKey],
        uncontrolled: true,
        attackHeaders: { prefer: `count=${mode}` },
        refused: 'estimates are made from the rows of all tenants',
      }),
    ),
  ];
  return doorsOf(lab, role).flatMap((door) =>
    readings.map((reading) => readingProbe(lab, relation, role, door, reading)),
  );
}

/** Ranges of a list that is longer for others. */
export function rangeProbes(lab: Lab, relation: Relation, role: Role): Probe[] {
  const readings: Reading[] = [
    { family: 'range', title: 'Range header', headers: { 'range-unit': 'items', range: '0-999' }, query: ['select=*'] },
    { family: 'range', title: 'limit and offset', query: ['select=*', 'limit=1000', 'offset=0'] },
    {
      family: 'range',
      title: 'beyond the end',
      headers: EXACT,
      query: ['select=*', 'offset=100000'],
      uncontrolled: true,
    },
    { family: 'range', title: 'a negative limit', query: ['select=*', 'limit=-1'], uncontrolled: true },
  ];
  return doorsOf(lab, role).flatMap((door) =>
    readings.map((reading) => readingProbe(lab, relation, role, door, reading)),
  );
}

const MEDIA: readonly [title: string, accept: string, offered: boolean, refused?: string][] = [
  ['CSV', 'text/csv', true],
  ['array without nulls', 'application/vnd.pgrst.array+json;nulls=stripped', true],
  ['one object', 'application/vnd.pgrst.object+json', true],
  [
    'plan',
    'application/vnd.pgrst.plan+json; for="application/json"; options=analyze|verbose|buffers',
    false,
    'a plan shows statistics over all tenants',
  ],
  ['bytes', 'application/octet-stream', false],
  ['text', 'text/plain', false],
  ['GeoJSON', 'application/geo+json', false],
  ['XML', 'text/xml', false],
];

/** Every form that an answer can take. */
export function mediaProbes(lab: Lab, relation: Relation, role: Role): Probe[] {
  const row = victims(lab, relation)[0] ?? {};
  const key = keyOf(lab, relation);
  return doorsOf(lab, role, true).flatMap((door) =>
    MEDIA.slice(0, lab.options.quick ? 4 : MEDIA.length).map(([title, accept, offered, refused]) => {
      const single = title === 'one object' && key.length > 0;
      return readingProbe(lab, relation, role, door, {
        family: 'media',
        title,
        headers: { accept },
        query: ['select=*', ...(single ? rowFilter(key, row) : [])],
        uncontrolled: !offered || (title === 'one object' && !single),
        ...(refused ? { refused } : {}),
      });
    }),
  );
}
