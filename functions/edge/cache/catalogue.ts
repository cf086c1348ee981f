import { readFileSync } from 'node:fs';
import type { Pool } from '../../database.ts';
import { type Expression, readExpression } from './expressions.ts';

/** What an answer can rest on: nothing where it rests on what the ledger does not tell. */
export type Tables = readonly string[] | null;

/** The schema as far as it decides what may be kept. Made anew when the fingerprint changes; never changed. */
export interface Catalogue {
  fingerprint: string;
  /** By their name in `v1`: the tables beneath, policies' included. */
  relations: ReadonlyMap<string, Tables>;
  /** The same of every table, by its qualified name. */
  recorded: ReadonlyMap<string, Tables>;
  /** Functions of `v1` whose comment says `@cacheable`. */
  functions: ReadonlyMap<string, Tables>;
  /** Functions over rows that a query can use like a column, and which may not be kept. */
  computed: ReadonlySet<string>;
  /** Names by which PostgREST finds an embedded relation, besides its own name. */
  joinNames: ReadonlySet<string>;
  /** Media types that aggregates of ours make, reading what they like; lower-case. */
  mediaTypes: ReadonlySet<string>;
  /** Foreign keys, from table to table. */
  references: readonly (readonly [from: string, to: string])[];
}

interface Relation {
  oid: number;
  schema: string;
  name: string;
  qualified: string;
  kind: string;
  rowType: number;
  inherited: boolean;
  recorded: boolean | null;
  expressions: string[];
}

interface DatabaseFunction {
  oid: number;
  schema: string;
  name: string;
  volatility: string;
  kind: string;
  firstArgument: number;
  mediaType: string | null;
  comment: string | null;
}

interface Key {
  name: string;
  from: number;
  to: number;
  columns: string[];
}

const API = 'v1';
/** anyelement, record, anynonarray, anycompatible: a function of one of these takes any row. */
const ANY_ROW = new Set([2283, 2249, 2776, 5077]);
const sql = (file: string) => readFileSync(new URL(file, import.meta.url), 'utf8');
/** A connection that is stuck is given up. */
const TIMEOUT = { query_timeout: 2000 };
const FINGERPRINT = { name: 'cache_fingerprint', text: sql('fingerprint.sql'), ...TIMEOUT };
const CATALOGUE = sql('catalogue.sql');
const BUILTINS = sql('builtins.sql');

/** They read the seal alone: the same for the same tenant, role and subject, which a kept answer is kept for. */
const ACCESSORS = new Set(['tenant_id', 'has_tenant_role', 'tenant_role', 'role', 'subject', 'tenant_required']);

/**
 * Stable functions of PostgreSQL that are stable only because settings such as TimeZone decide what they print or how they
 * compare; those are the same for every request that has the same headers.
 */
const BY_SETTINGS = (
  'array_to_json array_to_string concat concat_ws date date_add date_part date_subtract date_trunc extract format interval_pl_timestamptz ' +
  'json_build_array json_build_object jsonb_build_array jsonb_build_object make_timestamptz overlaps phraseto_tsquery plainto_tsquery ' +
  'quote_literal quote_nullable row_to_json timestamp timestamptz timestamptz_mi_interval timestamptz_pl_interval to_char to_json to_jsonb ' +
  'to_tsquery to_tsvector websearch_to_tsquery enum_first enum_last enum_range anytextcat textanycat date_cmp_timestamptz'
)
  .split(' ')
  .concat(
    ['date_X_timestamptz', 'timestamptz_X_date', 'timestamp_X_timestamptz', 'timestamptz_X_timestamp'].flatMap((name) =>
      ['eq', 'ne', 'lt', 'le', 'gt', 'ge'].map((comparison) => name.replace('X', comparison)),
    ),
  );

const DECLARED = /^@cacheable\b[ \t]*(.*)$/m;

/** The tables that a function's comment declares: `@cacheable app.jobs, app.files`. */
function declared({ comment }: DatabaseFunction): string[] | undefined {
  return DECLARED.exec(comment ?? '')?.[1]
    ?.split(/[\s,]+/)
    .filter(Boolean);
}

/** A value that another one has followed after any change of the schema that could change an answer. */
export async function readFingerprint(pool: Pool): Promise<string> {
  const { rows } = await pool.query<{ fingerprint: string }>(FINGERPRINT);
  return rows[0]?.fingerprint ?? '';
}

/** @param fingerprint read before: if something changes meanwhile, the next one is another */
export async function readCatalogue(pool: Pool, fingerprint: string): Promise<Catalogue> {
  const { rows } = await pool.query<{ relations: Relation[]; functions: DatabaseFunction[]; keys: Key[] | null }>(
    CATALOGUE,
  );
  const { relations = [], functions = [], keys } = rows[0] ?? {};
  const expressions = new Map(relations.map(({ oid, expressions: trees }) => [oid, trees.map(readExpression)]));
  const all = [...expressions.values()].flat();
  const builtins = await pool.query<{ changing: number[]; unsteady: number[] }>(BUILTINS, [
    [...new Set(all.flatMap((expression) => expression.functions))],
    [...new Set(all.flatMap((expression) => expression.readInto))],
    BY_SETTINGS,
  ]);
  const { changing = [], unsteady = [] } = builtins.rows[0] ?? {};
  const facts = {
    relations: new Map(relations.map((relation) => [relation.oid, relation])),
    named: new Map(relations.map((relation) => [relation.qualified, relation.oid])),
    functions: new Map(functions.map((each) => [each.oid, each])),
    expressions,
    changing: new Set(changing),
    unsteady: new Set(unsteady),
  };

  const exposed = relations.filter(({ schema }) => schema === API);
  const rowTypes = new Set(exposed.map(({ rowType }) => rowType));
  const overRows = functions.filter(({ firstArgument }) => rowTypes.has(firstArgument) || ANY_ROW.has(firstArgument));
  const callable = Map.groupBy(
    functions.filter(({ schema }) => schema === API),
    ({ name }) => name,
  );
  return {
    fingerprint,
    relations: new Map(exposed.map(({ name, oid }) => [name, tablesBeneath(facts, [oid])])),
    recorded: new Map(
      relations
        .filter(({ kind }) => kind !== 'v')
        .map(({ qualified, oid }) => [qualified, tablesBeneath(facts, [oid])]),
    ),
    functions: new Map([...callable].map(([name, overloads]) => [name, tablesOfFunctions(facts, overloads)])),
    computed: new Set(overRows.filter(({ volatility }) => volatility !== 'i').map(({ name }) => name)),
    joinNames: new Set([
      ...overRows.map(({ name }) => name),
      ...(keys ?? []).flatMap(({ name, columns }) => [name, ...columns]),
    ]),
    mediaTypes: new Set(functions.flatMap(({ mediaType }) => mediaType ?? [])),
    references: (keys ?? []).map(({ from, to }) => [nameOf(facts, from), nameOf(facts, to)] as const),
  };
}

interface Facts {
  relations: Map<number, Relation>;
  named: Map<string, number>;
  functions: Map<number, DatabaseFunction>;
  expressions: Map<number, Expression[]>;
  changing: Set<number>;
  unsteady: Set<number>;
}

const nameOf = ({ relations }: Facts, oid: number): string => relations.get(oid)?.qualified ?? String(oid);

/** Several functions of one name: all of them have to be declared, since which one is called is for PostgREST to say. */
function tablesOfFunctions(facts: Facts, overloads: readonly DatabaseFunction[]): Tables {
  const roots: number[] = [];
  for (const overload of overloads) {
    const names = declared(overload);
    if (!names || overload.volatility === 'v') return null;
    for (const name of names) roots.push(facts.named.get(name) ?? 0);
  }
  return tablesBeneath(facts, roots);
}

/** The recorded tables that these relations are made of, with what views and policies read; null where that is not all. */
function tablesBeneath(facts: Facts, roots: readonly number[]): Tables {
  const tables: string[] = [];
  const seen = new Set<number>();
  const pending = [...roots];
  for (let oid = pending.pop(); oid !== undefined; oid = pending.pop()) {
    if (seen.has(oid)) continue;
    seen.add(oid);
    const relation = facts.relations.get(oid);
    if (!relation) return null; // a catalogue, a partition by itself, what does not exist
    if (relation.kind === 'r' || relation.kind === 'p') {
      if (!relation.recorded || relation.inherited) return null;
      tables.push(relation.qualified);
    } else if (relation.kind !== 'v') {
      return null; // foreign tables and materialized views change without a word
    }
    for (const expression of facts.expressions.get(oid) ?? []) {
      const read = readsOf(facts, expression);
      if (!read) return null;
      pending.push(...read);
    }
  }
  return tables;
}

/** The relations that an expression reads; undefined where it gives what its relations do not decide. */
function readsOf(facts: Facts, expression: Expression): number[] | undefined {
  if (expression.unsteady || expression.readInto.some((type) => facts.unsteady.has(type))) return undefined;
  const reads = [...expression.relations];
  for (const oid of expression.functions) {
    const called = facts.functions.get(oid);
    if (!called) {
      if (facts.changing.has(oid)) return undefined;
      continue;
    }
    if (called.schema === 'request' && ACCESSORS.has(called.name)) continue;
    if (called.volatility === 'i' && called.kind === 'f') continue;
    const names = declared(called);
    if (!names) return undefined;
    for (const name of names) reads.push(facts.named.get(name) ?? 0);
  }
  return reads;
}
