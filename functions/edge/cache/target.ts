import type { TenantSettings } from '../settings.ts';
import type { Catalogue } from './catalogue.ts';

/** What a GET reads. */
export interface Reading {
  /** The tables whose changes change the answer. */
  tables: readonly string[];
  /** The relations or the function that it names. */
  names: readonly string[];
}

const PATH = /^\/(rpc\/)?([A-Za-z_]\w*)$/;
/** Text that PostgreSQL reads as a moment: `created_at=gt.now` means something else each time. */
const MOMENT = /(?<![a-z])(?:now|today|tomorrow|yesterday)(?![a-z])/i;
const CAST = /::\s*([a-z_0-9 ]*)/gi;
/** Casts of columns that give the same text for the same value. Text cast to a date may be the word `today`. */
const PLAIN_TYPES = new Set(
  'bigint bool boolean bytea float4 float8 int int2 int4 int8 integer json jsonb numeric real smallint text uuid varchar'.split(
    ' ',
  ),
);
/** What stands before each parenthesis of a select: `alias:relation!hint`, `...relation`. */
const EMBEDDED = /([^,()]*)\(/g;
const JOINS = new Set(['inner', 'left']);

/** What a target reads, or undefined where that, or whether it is the same each time, cannot be told from it. */
export function readTarget(target: string, catalogue: Catalogue): Reading | undefined {
  const mark = target.indexOf('?');
  const [, rpc, name = ''] = PATH.exec(mark < 0 ? target : target.slice(0, mark)) ?? [];
  const own = (rpc ? catalogue.functions : catalogue.relations).get(name);
  if (!own) return undefined;
  if (mark < 0) return { tables: own, names: [name] };

  const query = new URLSearchParams(target.slice(mark + 1));
  const names = [name];
  for (const [key, value] of query) {
    if (!isSteady(`${key}=${value}`, catalogue)) return undefined;
    if (key === 'select' && value.includes('(')) {
      const embedded = embeddedRelations(value, catalogue);
      if (!embedded) return undefined;
      names.push(...embedded);
    }
  }
  if (names.length === 1) return { tables: own, names };
  const tables = new Set(own);
  for (const each of names.slice(1)) {
    const beneath = catalogue.relations.get(each);
    if (!beneath) return undefined;
    for (const table of beneath) tables.add(table);
  }
  return withJunctions(tables, catalogue) ? { tables: [...tables], names } : undefined;
}

function isSteady(text: string, { computed }: Catalogue): boolean {
  // As PostgREST reads a quoted value: a backslash in it stands for nothing.
  const plain = text.replaceAll(/["\\]/g, '');
  if (MOMENT.test(plain)) return false;
  for (const [, type = ''] of plain.matchAll(CAST)) {
    if (!PLAIN_TYPES.has(type.trim().toLowerCase())) return false;
  }
  if (computed.size > 0) for (const name of computed) if (plain.includes(name)) return false;
  return true;
}

/** The relations that a select embeds by their own names. Undefined for any other way to name one, and for aggregates. */
function embeddedRelations(select: string, { relations, joinNames }: Catalogue): string[] | undefined {
  const embedded: string[] = [];
  for (const [, before = ''] of select.matchAll(EMBEDDED)) {
    const [name = '', ...hints] = before
      .trim()
      .replace(/^\.\.\./, '')
      .replace(/^[^:]*:/, '')
      .split('!');
    if (!relations.has(name) || joinNames.has(name) || hints.some((hint) => !JOINS.has(hint))) return undefined;
    embedded.push(name);
  }
  return embedded;
}

/** Adds the tables that may join two others without being named; false where one of them is not recorded. */
function withJunctions(tables: Set<string>, { references, recorded }: Catalogue): boolean {
  const times = new Map<string, number>();
  for (const [from, to] of references) if (tables.has(to)) times.set(from, (times.get(from) ?? 0) + 1);
  for (const [from, count] of times) {
    if (count < 2 || tables.has(from)) continue;
    const beneath = recorded.get(from);
    if (!beneath) return false;
    for (const table of beneath) tables.add(table);
  }
  return true;
}

/** Whether PostgREST by itself makes the answer that Accept names, and no aggregate of ours, which may read anything. */
export function isOwnForm(accept: string | undefined, { mediaTypes }: Catalogue): boolean {
  if (mediaTypes.size === 0) return true;
  // Those two stand for whatever is asked for without a type, or with one that PostgREST derives from JSON.
  if (mediaTypes.has('*/*') || mediaTypes.has('application/json')) return false;
  const named = (accept ?? '').toLowerCase().split(',');
  return !named.some((each) => mediaTypes.has((each.split(';', 1)[0] as string).trim()));
}

/** Whether the tenant does not want this kept: named as in the address, or a table beneath. */
export function isOff({ names, tables }: Reading, { uncachedTables }: TenantSettings): boolean {
  if (uncachedTables.length === 0) return false;
  return [...names, ...tables].some((name) => uncachedTables.includes(name) || uncachedTables.includes(`v1.${name}`));
}
