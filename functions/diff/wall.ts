import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { diffCatalogues, readCatalogue } from '../migrate/catalogue.ts';

type Fact = string | boolean | string[];
export type Facts = Record<string, Fact | undefined>;

/** One thing of a database that decides who reaches what. */
export interface WallObject {
  kind: string;
  name: string;
  facts: Facts;
}

export interface Wall {
  objects: WallObject[];
  /** db/catalog.sql: everything that a migration can make, for what has no facts of its own. */
  catalogue: string[];
}

export interface Change {
  kind: string;
  name: string;
  change: 'added' | 'dropped' | 'changed';
  /** What changed of the object; for grants and default privileges, always `privileges`. */
  fact?: string;
  before?: Fact | undefined;
  after?: Fact | undefined;
  /** The object as it is afterwards, or as it was when it is gone. */
  facts: Facts;
  /** The object as it was. */
  was: Facts;
}

const query = fileURLToPath(new URL('wall.sql', import.meta.url));

/**
 * Reads the wall of a database, as the migrator or a superuser.
 * @throws Error where a query returns no row: nothing would be compared.
 */
export async function readWall(client: pg.Client): Promise<Wall> {
  const catalogue = await readCatalogue(client);
  await client.query("begin; set local search_path = ''");
  try {
    const { rows } = await client.query<WallObject>(await readFile(query, 'utf8'));
    if (rows.length === 0) throw new Error('functions/diff/wall.sql returned no row: nothing was compared');
    return { objects: rows, catalogue };
  } finally {
    await client.query('rollback');
  }
}

/** Facts that help the rules to judge, and of which other facts or objects tell the change. */
const CONTEXT = new Set([
  'parent',
  'schema',
  'has_tenant',
  'of',
  'of_kind',
  'column',
  'on',
  'grantee',
  'tenant_leads',
  'parsed',
]);
const LISTED = new Set(['grant', 'default privilege']);

const keyOf = ({ kind, name }: { kind: string; name: string }) => `${kind} ${name}`;
const list = (value: Fact | undefined) => (Array.isArray(value) ? value : []);

function changesOf(before: WallObject | undefined, after: WallObject | undefined): Change[] {
  const object = after ?? before;
  if (!object) return [];
  const { kind, name, facts } = object;
  const was = before?.facts ?? {};
  const common = { kind, name, facts, was };
  if (LISTED.has(kind)) {
    const had = list(before?.facts.privileges);
    const has = list(after?.facts.privileges);
    const added = has.filter((privilege) => !had.includes(privilege));
    const dropped = had.filter((privilege) => !has.includes(privilege));
    return [
      ...(added.length > 0 ? [{ ...common, change: 'added' as const, fact: 'privileges', after: added }] : []),
      ...(dropped.length > 0 ? [{ ...common, change: 'dropped' as const, fact: 'privileges', before: dropped }] : []),
    ];
  }
  if (!before) return [{ ...common, change: 'added' }];
  if (!after) return [{ ...common, change: 'dropped' }];
  return [...new Set([...Object.keys(was), ...Object.keys(facts)])]
    .filter((fact) => !CONTEXT.has(fact) && JSON.stringify(was[fact]) !== JSON.stringify(facts[fact]))
    .map((fact) => ({ ...common, change: 'changed' as const, fact, before: was[fact], after: facts[fact] }));
}

/** What comes and goes with its relation or function needs no line of its own. */
function follows({ kind, facts, change }: Change, owners: Map<string, Change['change']>): boolean {
  const owner = owners.get(String(facts.of ?? facts.on ?? facts.parent ?? ''));
  if (owner === 'dropped') return change === 'dropped';
  return owner === 'added' && change === 'added' && kind === 'column' && facts.column !== 'tenant_id';
}

/** Heads of the catalogue's rows that have objects here; a change of another row is told as it stands. */
const COVERED =
  /^[-+] (schema|table|view|materialized view|column|constraint|policy|default privileges of|owner of|grant on|comment on|CREATE (UNIQUE )?INDEX|CREATE (CONSTRAINT )?TRIGGER|CREATE OR REPLACE (FUNCTION|PROCEDURE)|sequence \S+ persistence) /;

function catalogueChanges(before: string[], after: string[]): Change[] {
  const rows = diffCatalogues(before, after);
  const comments = new Set(rows.flatMap((row) => /^[-+] comment on (.*?) is E?'/.exec(row)?.[1] ?? []));
  return [
    ...rows
      .filter((row) => !COVERED.test(row))
      .map((row) => ({ change: row.startsWith('+') ? ('added' as const) : ('dropped' as const), name: row.slice(2) }))
      .map((rest) => ({ kind: 'catalogue', facts: {}, was: {}, ...rest })),
    ...[...comments].map((name) => ({ kind: 'comment', name, change: 'changed' as const, facts: {}, was: {} })),
  ];
}

/** Every change from one wall to another. Empty where nothing that a rule or the catalogue knows differs. */
export function diffWalls(before: Wall, after: Wall): Change[] {
  const was = new Map(before.objects.map((object) => [keyOf(object), object]));
  const is = new Map(after.objects.map((object) => [keyOf(object), object]));
  const keys = [...new Set([...was.keys(), ...is.keys()])];
  const changes = keys.flatMap((key) => changesOf(was.get(key), is.get(key)));
  const owners = new Map(
    changes.filter(({ fact, change }) => fact === undefined && change !== 'changed').map((c) => [c.name, c.change]),
  );
  const told = changes.filter((change) => !follows(change, owners));
  const rest = catalogueChanges(before.catalogue, after.catalogue);
  // A comment comes and goes with what it is about.
  return [...told, ...rest.filter(({ kind, name }) => kind !== 'comment' || !goesWith(name, owners))];
}

function goesWith(comment: string, owners: Map<string, unknown>): boolean {
  return [...owners.keys()].some((name) => comment.endsWith(` ${name}`) || comment.includes(` ${name}.`));
}
