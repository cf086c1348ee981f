import { mainTable, type Relation } from '../catalogue.ts';
import type { Row } from '../fill/row.ts';
import { keyOf, type Lab } from '../lab.ts';
import type { Probe, Role } from '../types.ts';
import { doorsOf, pathTo, refusal, type Writing, writingProbe } from './ask.ts';
import { foreignBody, freshBody, undoing } from './bodies.ts';
import { victims } from './read.ts';

const RETURNING = { prefer: 'return=representation' };
// What is returned has to pass the policy for reading as well: that would hide a missing check on what is written.
const MINIMAL = { prefer: 'return=minimal' };

/** Something to send where clients may send nothing. */
export function anyBody(lab: Lab, relation: Relation): Row {
  const row = victims(lab, relation)[0] ?? {};
  return Object.fromEntries(Object.entries(row).slice(0, 4));
}

/** Rows for tenant B: one, several, with B's own key, as CSV. */
export function insertProbes(lab: Lab, relation: Relation, role: Role): Probe[] {
  const tenantColumn = mainTable(lab.catalogue, relation)?.tenantColumn;
  return doorsOf(lab, role).flatMap((door) => {
    const own = () => freshBody(lab, relation);
    const sample = own();
    const foreign = foreignBody(lab, relation, sample ?? anyBody(lab, relation));
    const refused =
      refusal(relation, role, 'insert', Object.keys(foreign)) ??
      (Object.hasOwn(foreign, tenantColumn ?? '') ? 'it names another tenant' : undefined);
    /** A row of one's own, or two, made and taken back. */
    const proof = (count = 1): Pick<Writing, 'control' | 'undo'> => {
      const bodies = Array.from({ length: count }, () => own() ?? {});
      return sample
        ? {
            control: { method: 'POST', path: pathTo(relation), body: count === 1 ? bodies[0] : bodies },
            undo: undoing(lab, relation, bodies),
          }
        : {};
    };
    const post = (body: unknown, headers: Record<string, string> = MINIMAL, ...query: string[]) => ({
      method: 'POST',
      path: pathTo(relation, ...query),
      body,
      headers,
    });
    const csv = [
      Object.keys(foreign).join(','),
      Object.values(foreign)
        .map((value) => (value === null ? '' : JSON.stringify(value)))
        .join(','),
    ].join('\n');
    const writings: Writing[] = [
      { verb: 'insert', family: 'tenant', title: 'a row for B', attack: post(foreign), ...proof(), refused },
      {
        verb: 'insert',
        family: 'tenant',
        title: 'a row for B, returned',
        attack: post(foreign, RETURNING),
        ...proof(),
        refused,
      },
      {
        verb: 'insert',
        family: 'tenant',
        title: "a row with B's own key",
        attack: post({ ...foreign, ...pickKey(lab, relation) }),
        ...proof(),
        refused,
      },
      {
        verb: 'insert',
        family: 'bulk',
        title: 'one of its own, one for B',
        attack: post([own() ?? foreign, foreign]),
        ...proof(2),
        refused,
      },
      {
        verb: 'insert',
        family: 'bulk',
        title: 'CSV',
        attack: { ...post(csv, { 'content-type': 'text/csv' }) },
        ...proof(),
        refused,
      },
    ];
    return writings.map((writing) => writingProbe(relation, role, door, writing));
  });
}

function pickKey(lab: Lab, relation: Relation): Row {
  const row = victims(lab, relation)[0] ?? {};
  return Object.fromEntries(
    keyOf(lab, relation)
      .filter((name) => row[name] !== undefined)
      .map((name) => [name, row[name]]),
  );
}

/** A member who was made a viewer, with a token from before. */
export function downgradeProbes(lab: Lab, relation: Relation): Probe[] {
  const body = freshBody(lab, relation);
  if (!body) return [];
  const own = freshBody(lab, relation) ?? {};
  const call = { method: 'POST', path: pathTo(relation), body: own };
  const refused = 'its member is a viewer by now';
  const probe = writingProbe(relation, 'viewer', 'direct', {
    verb: 'insert',
    family: 'tenant',
    title: 'a token from before a downgrade',
    attack: { ...call, body },
    control: call,
    undo: undoing(lab, relation, [own]),
    refused,
  });
  return [{ ...probe, attack: { ...probe.attack, token: 'A_downgraded' } }];
}
