import type { Column, Table } from '../catalogue.ts';

/** What the checks of a table say of one column, as far as they can be read; the database decides. */
export interface Facts {
  oneOf: string[];
  patterns: string[];
  min?: number;
  max?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  jsonType?: string;
  /** Of a comment's `@sample` tags. */
  samples: unknown[];
  /** Strings that its checks and its comment mention: a trigger may know them. */
  words: string[];
}

const LENGTH = '(?:length|char_length|character_length|octet_length)';
const ITEMS = '(?:cardinality|array_length|jsonb_array_length|json_array_length)';

/** A check's text without casts, its string literals replaced by §n§: `col ~ §0§`. */
function plain(definition: string): { text: string; literals: string[] } {
  const literals: string[] = [];
  let text = definition.replace(/'((?:[^']|'')*)'/g, (_all, literal: string) => {
    literals.push(literal.replaceAll("''", "'"));
    return `§${literals.length - 1}§`;
  });
  text = text.replace(
    /::(?:character varying|double precision|bit varying|timestamp with(?:out)? time zone|[\w."]+)(?:\(\d+(?:,\d+)?\))?(?:\[\])?/g,
    '',
  );
  for (let previous = ''; previous !== text; ) {
    previous = text;
    text = text.replace(/(?<![\w"])\(([\w.§"-]+)\)/g, '$1').replace(/(?<=[\s(])\(([\w.§"-]+)\)/g, '$1');
  }
  return { text, literals };
}

function bounds(text: string, subject: string): { min?: number; max?: number } {
  const found: { min?: number; max?: number } = {};
  for (const [, operator, number] of text.matchAll(new RegExp(`${subject} (>=|<=|>|<|=) (-?[\\d.]+)`, 'g'))) {
    const value = Number(number);
    if (operator === '>=' || operator === '=') found.min = Math.max(found.min ?? -Infinity, value);
    if (operator === '<=' || operator === '=') found.max = Math.min(found.max ?? Infinity, value);
    if (operator === '>') found.min = Math.max(found.min ?? -Infinity, value + 1);
    if (operator === '<') found.max = Math.min(found.max ?? Infinity, value - 1);
  }
  return found;
}

function readSamples(comment: string): unknown[] {
  return [...comment.matchAll(/@sample\s+(.+)$/gm)].flatMap(([, json]) => {
    try {
      return [JSON.parse(json as string) as unknown];
    } catch {
      return [];
    }
  });
}

/** Reads lists, patterns, ranges, lengths, item counts and JSON types out of the checks that name the column. */
export function factsOf(table: Table, column: Column): Facts {
  const facts: Facts = { oneOf: [], patterns: [], samples: readSamples(column.comment ?? ''), words: [] };
  const name = `"?${column.name.replace(/[^\w]/g, '.')}"?`;
  for (const { definition, columns } of table.checks) {
    if (!columns.includes(column.name) || definition.startsWith('EXCLUDE')) continue;
    const { text, literals } = plain(definition);
    facts.words.push(...literals);
    for (const [, list] of text.matchAll(new RegExp(`${name} = ANY \\(*ARRAY\\[([^\\]]+)\\]`, 'g'))) {
      // An alternative beside a condition on another column does not bind alone; a list of its own does.
      const values = [...(list as string).matchAll(/§(\d+)§|(-?[\d.]+)/g)].map(([, nth, number]) =>
        nth === undefined ? (number as string) : (literals[Number(nth)] as string),
      );
      if (columns.length === 1) facts.oneOf = values;
    }
    for (const [, nth] of text.matchAll(new RegExp(`(?<![!\\w])${name} ~ §(\\d+)§`, 'g')))
      facts.patterns.push(literals[Number(nth)] as string);
    const { min, max } = bounds(text, `(?<![\\w(])\\(*${name}`);
    if (min !== undefined) facts.min = Math.max(facts.min ?? -Infinity, min);
    if (max !== undefined) facts.max = Math.min(facts.max ?? Infinity, max);
    const length = bounds(text, `${LENGTH}\\(${name}\\)`);
    if (length.min !== undefined) facts.minLength = length.min;
    if (length.max !== undefined) facts.maxLength = length.max;
    const items = bounds(text, `${ITEMS}\\(${name}(?:, 1)?\\)`);
    if (items.min !== undefined) facts.minItems = items.min;
    const jsonType = new RegExp(`jsonb?_typeof\\(${name}\\) = §(\\d+)§`).exec(text)?.[1];
    if (jsonType !== undefined) facts.jsonType = literals[Number(jsonType)] as string;
  }
  facts.words.push(...((column.comment ?? '').match(/[A-Za-z_][\w.-]*\w/g) ?? []));
  return facts;
}
