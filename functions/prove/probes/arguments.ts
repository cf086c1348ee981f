import { type ExposedFunction, isTenantData, nameOf, type Relation } from '../catalogue.ts';
import { factsOf } from '../fill/facts.ts';
import type { Row } from '../fill/row.ts';
import { candidates } from '../fill/values.ts';
import { keyOf, type Lab } from '../lab.ts';
import { draw, uuid, word } from '../random.ts';
import type { Letter } from '../world.ts';

/** What a function is given: for each argument a column to take values from, or a word, or the key of a relation's row. */
export interface Arguments {
  sources: readonly ({ table: string; column: string } | undefined)[];
  words: Readonly<Record<string, string>>;
  relation?: Relation;
}

/** Whose values an argument gets. */
export type Whose = Letter | 'nobody';

const METHODS = ['GET', 'POST', 'PATCH', 'DELETE'];
const isJson = ({ type }: ExposedFunction['arguments'][number]) => /^jsonb?$/.test(type.name);
const singular = (name: string) => name.replace(/ies$/, 'y').replace(/s$/, '');

/** Columns of an argument's type, those first that it is named after. */
function sourcesOf(lab: Lab, one: ExposedFunction, argument: ExposedFunction['arguments'][number]) {
  const returned = lab.catalogue.relations.find((relation) => nameOf(relation) === one.returns)?.bases ?? [];
  const named = argument.name.replace(/^(?:for|new|wanted|p|_)_?/, '');
  const likeness = (table: string, column: string): number => {
    const short = singular(table.split('.')[1] ?? table);
    const alike = (column === named ? 3 : 0) + (named === `${short}_${column}` || named === short ? 8 : 0);
    return (returned.includes(table) ? 4 : 0) + alike + (column === 'id' ? 1 : 0);
  };
  return lab.world.tables
    .filter(({ name, tenantColumn }) => tenantColumn !== null && (lab.world.rows.B.get(name)?.length ?? 0) > 0)
    .flatMap((table) =>
      table.columns
        .filter(
          ({ type }) => type.name === argument.type.name || (type.category === 'S' && argument.type.category === 'S'),
        )
        .map(({ name }) => ({ table: table.name, column: name })),
    )
    .toSorted((left, right) => likeness(right.table, right.column) - likeness(left.table, left.column))
    .slice(0, 6);
}

/** Ways to fill the arguments, the likeliest first. One that asks for a relation by name is given each of them, with each method. */
export function waysToCall(lab: Lab, one: ExposedFunction): { ways: Arguments[]; all: boolean } {
  const naming = one.arguments.find(({ name, type }) => /^(?:relation|resource)$/.test(name) && type.category === 'S');
  const method = one.arguments.find(({ name, type }) => /^(?:http_)?method$/.test(name) && type.category === 'S');
  if (naming) {
    const relations = lab.relations.filter(
      (relation) =>
        relation.grants.tenant_user?.select &&
        (lab.seen.get(nameOf(relation))?.B.length ?? 0) > 0 &&
        // What is the same for every tenant is nobody's: that A finds a row there tells nothing.
        (relation.bases.length === 0 || isTenantData(lab.catalogue, relation)),
    );
    const methods = method ? METHODS : [''];
    const ways = relations.flatMap((relation) =>
      methods.map((verb) => ({
        sources: [],
        relation,
        words: { [naming.name]: relation.name, ...(method ? { [method.name]: verb } : {}) },
      })),
    );
    return { ways: lab.options.quick ? ways.filter((_, nth) => nth % 4 === 0) : ways, all: true };
  }
  const perArgument = one.arguments.map((argument) => (argument.optional ? [] : sourcesOf(lab, one, argument)));
  const tries = Math.max(1, ...perArgument.map((sources) => sources.length));
  const ways = Array.from({ length: tries }, (_, nth) => ({
    sources: perArgument.map((sources) => sources[nth] ?? sources[0]),
    words: {},
  }));
  // Where all can be left out, leaving them all out may be what it refuses.
  const alone = one.arguments.every(({ optional }) => optional)
    ? one.arguments.flatMap((argument, nth) => {
        const [source] = sourcesOf(lab, one, argument);
        return source
          ? [{ sources: one.arguments.map((_, other) => (other === nth ? source : undefined)), words: {} }]
          : [];
      })
    : [];
  return { ways: [...ways, ...alone], all: false };
}

/** The arguments that can be somebody's. */
export function seatsOf(one: ExposedFunction, way: Arguments): number[] {
  return [...one.arguments.keys()].filter(
    (nth) => way.sources[nth] || (way.relation && isJson(one.arguments[nth] as never)),
  );
}

function rowKey(lab: Lab, relation: Relation, whose: Whose): Row {
  const row = lab.seen.get(nameOf(relation))?.[whose === 'nobody' ? 'B' : whose]?.[0] ?? {};
  const tenants = Object.values(lab.world.tenants);
  const key = keyOf(lab, relation).filter((name) => !tenants.includes(String(row[name])));
  const names =
    key.length > 0
      ? key
      : Object.keys(row)
          .filter((name) => typeof row[name] === 'string')
          .slice(0, 1);
  const of = (name: string) =>
    /^[0-9a-f-]{36}$/.test(String(row[name]))
      ? uuid(lab.world.seed, 'nobody', name)
      : word(12, lab.world.seed, 'nobody', name);
  return Object.fromEntries(
    names.map((name) => [
      name,
      whose === 'nobody' ? (typeof row[name] === 'string' ? of(name) : 987_654_321) : row[name],
    ]),
  );
}

/** Next to B's: what is told of a time is the same a moment later, unless it tells of what happened then. */
function nobodysTime(lab: Lab, type: string, source: Arguments['sources'][number]): string | null {
  const known = source && lab.world.rows.B.get(source.table)?.[0]?.[source.column];
  const time = Date.parse(String(known));
  return Number.isNaN(time) ? null : new Date(time + (type === 'date' ? 86_400_000 : 1)).toISOString();
}

function nobodysValue(
  lab: Lab,
  { name, type }: ExposedFunction['arguments'][number],
  source: Arguments['sources'][number],
): unknown {
  if (type.name === 'uuid') return uuid(lab.world.seed, 'nobody', name);
  if (type.category === 'N') return 987_654_321;
  if (type.category === 'D') return nobodysTime(lab, type.name, source);
  if (type.category !== 'S') return /^jsonb?$/.test(type.name) ? {} : null;
  const text = `${lab.world.run}_${word(5, name)}`;
  if (source?.column === 'slug') return text.replaceAll('_', '-');
  // Of the form that its comment shows: or it would be refused for that.
  const table = lab.world.tables.find((one) => one.name === source?.table);
  const column = table?.columns.find((one) => one.name === source?.column);
  const [formed] = table && column && factsOf(table, column).samples.length > 0 ? candidates(table, column) : [];
  return formed ? draw(formed, lab.world.seed, 'nobody', name) : text;
}

/** The arguments with somebody's values, or with what nobody has; optional ones are left out where nothing is known. */
export function argumentsOf(lab: Lab, one: ExposedFunction, way: Arguments, whose: (nth: number) => Whose): Row {
  const entries = one.arguments.flatMap((argument, nth): [string, unknown][] => {
    const { name, optional } = argument;
    const letter = whose(nth);
    const source = way.sources[nth];
    if (way.words[name] !== undefined) return [[name, way.words[name]]];
    if (way.relation && isJson(argument)) return [[name, rowKey(lab, way.relation, letter)]];
    if (optional && !source) return [];
    const value =
      letter === 'nobody' || !source
        ? nobodysValue(lab, argument, source)
        : lab.world.rows[letter].get(source.table)?.[0]?.[source.column];
    return value === null || value === undefined ? [] : [[name, value]];
  });
  return Object.fromEntries(entries);
}
