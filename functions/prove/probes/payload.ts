import fc from 'fast-check';
import { databaseRole, mainTable, type Relation } from '../catalogue.ts';
import type { Lab } from '../lab.ts';
import type { Answer, Probe, Role } from '../types.ts';
import { attackerToken, doorsOf, pathTo, refusal, writingProbe } from './ask.ts';
import { freshBody, undoing } from './bodies.ts';

const HOSTILE = [
  `'; delete from app.files; --`,
  `' or true --`,
  `$$; reset role; $$`,
  `{{7*7}}\${7*7}<%= 7 %>`,
  '<script>alert(1)</script>',
  '=1+1',
  '%00',
  '\\x00\\',
  '../../etc/passwd',
  '\u202Egnp.exe',
  'a\u0301\u0327',
  '\uFEFFx',
  '\u{1F469}\u200D\u{1F469}\u200D\u{1F467}',
  'ﬁﬃ İı ſ',
  '\u2028\u2029',
  '"}],"x":[{"',
  '*%_',
  'null',
  '‮\u0000',
  '\uD800',
  "Robert'); drop table students;--",
];

/** Text that someone hopes will be run, or mangled; otherwise any Unicode, ill-formed included. */
const text = fc.oneof(
  fc.constantFrom(...HOSTILE),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
);

/** Written by A and read again: unchanged, or refused as a whole. */
function unchanged(column: string) {
  return async ({ status, body }: Answer, value: string): Promise<string | undefined> => {
    if (status >= 300 || body === '') return undefined;
    const [row] = JSON.parse(body) as Record<string, unknown>[];
    return row === undefined || row[column] === value ? undefined : `it came back as ${JSON.stringify(row[column])}`;
  };
}

/** Stored payloads in every text column that clients set, and the same in filters. */
export function payloadProbes(lab: Lab, relation: Relation, role: Role): Probe[] {
  const table = mainTable(lab.catalogue, relation);
  const grants = relation.grants.tenant_user;
  const body = freshBody(lab, relation);
  const columns = relation.columns
    .filter(({ name, type }) => type.category === 'S' && name !== table?.tenantColumn && grants?.insert.includes(name))
    .map(({ name }) => name);
  if (columns.length === 0 || !body) return filterPayloads(lab, relation, role);
  const probes = doorsOf(lab, role, true).flatMap((door) =>
    (lab.options.quick ? columns.slice(0, 1) : columns).map((column): Probe => {
      const post = (value: unknown) => ({
        method: 'POST',
        path: pathTo(relation),
        body: { ...freshBody(lab, relation), [column]: value },
        headers: { prefer: 'return=representation' },
      });
      const refused = refusal(relation, role, 'insert');
      const plain = freshBody(lab, relation) ?? {};
      const probe = writingProbe(relation, role, door, {
        verb: 'insert',
        family: 'payload',
        title: `${column}, generated text`,
        attack: post(HOSTILE[0]),
        control: { method: 'POST', path: pathTo(relation), body: plain },
        undo: undoing(lab, relation, [plain]),
        refused,
      });
      return {
        ...probe,
        generated: {
          values: text,
          runs: lab.options.quick ? 2 : role === 'owner' ? 16 : 5,
          judge: unchanged(column),
          attack: (value) => ({ ...probe.attack, body: { ...(post(value).body as object) } }),
        },
      };
    }),
  );
  return [...probes, ...filterPayloads(lab, relation, role)];
}

/** Injections where a filter's value, an order or a list of columns is expected. */
function filterPayloads(lab: Lab, relation: Relation, role: Role): Probe[] {
  const column = relation.columns.find(({ type }) => type.category === 'S')?.name ?? relation.columns[0]?.name ?? 'id';
  const noGrant = refusal(relation, role, 'select');
  const spots: [title: string, query: (value: string) => string][] = [
    ['a filter', (value) => `${encodeURIComponent(column)}=eq.${encodeURIComponent(value)}`],
    ['an or', (value) => `or=(${encodeURIComponent(`${column}.eq.${value}`)})`],
    ['an order', (value) => `order=${encodeURIComponent(value)}`],
    ['a list of columns', (value) => `select=${encodeURIComponent(value)}`],
  ];
  return (lab.options.quick ? spots.slice(0, 1) : spots).map(([title, query]): Probe => {
    const attack = (value: string) => ({
      door: 'direct' as const,
      method: 'GET',
      schema: relation.schema,
      path: pathTo(relation, query(value)),
      token: attackerToken(role),
    });
    return {
      relation: `${relation.schema}.${relation.name}`,
      verb: 'insert',
      role,
      family: 'payload',
      door: 'direct',
      title: `generated text in ${title}`,
      attack: attack(HOSTILE[1] as string),
      ...(noGrant ? { refused: noGrant } : {}),
      ...(databaseRole(role) === 'operator' && !noGrant ? { directoryAllowed: true } : {}),
      generated: {
        values: fc.oneof(
          fc.constantFrom(...HOSTILE.filter((value) => value.isWellFormed())),
          fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
        ),
        runs: lab.options.quick ? 2 : 6,
        attack,
      },
    };
  });
}
