import fc from 'fast-check';
import type { Column, Table } from '../catalogue.ts';
import { type Facts, factsOf } from './facts.ts';
import { ofType, range, type Text } from './scalars.ts';

/** fast-check reads JavaScript's patterns; PostgreSQL's classes are spelt out. */
function matching(pattern: string): Text | undefined {
  const classes: Record<string, string> = {
    alpha: 'A-Za-z',
    digit: '0-9',
    alnum: 'A-Za-z0-9',
    lower: 'a-z',
    upper: 'A-Z',
    space: ' ',
    xdigit: '0-9a-f',
    punct: '._-',
  };
  try {
    const source = pattern
      .replace(/\[:(\w+):\]/g, (all, name: string) => classes[name] ?? all)
      .replace(/^\(\?[a-z]+\)/, '');
    return fc.stringMatching(new RegExp(source), { size: 'xsmall' });
  } catch {
    return undefined;
  }
}

function sampleText(sample: unknown, column: Column): string {
  if (column.type.name === 'json' || column.type.name === 'jsonb') return JSON.stringify(sample);
  if (Array.isArray(sample)) return `{${sample.map((item) => JSON.stringify(String(item))).join(',')}}`;
  return typeof sample === 'string' ? sample : JSON.stringify(sample);
}

const known = new WeakMap<Column, Text[]>();

/** Ways to fill a column, the likeliest first. Empty: nothing is known, so only null is left. */
export function candidates(table: Table, column: Column): Text[] {
  const ways = known.get(column) ?? waysOf(column, factsOf(table, column));
  known.set(column, ways);
  return ways;
}

function waysOf(column: Column, facts: Facts): Text[] {
  const { type } = column;
  if (facts.samples.length > 0) return [fc.constantFrom(...facts.samples.map((sample) => sampleText(sample, column)))];
  const ways: (Text | undefined)[] = [];
  // The last of a list of states is most often a final one, that no worker acts upon.
  if (facts.oneOf.length > 0) ways.push(fc.constant(facts.oneOf.at(-1) as string), fc.constantFrom(...facts.oneOf));
  ways.push(...facts.patterns.map(matching));
  const own =
    type.category === 'A' && type.element
      ? ofType(type.element, facts, -1, type.elementLabels)
      : type.subtype
        ? range(type.subtype, column)
        : ofType(type.name, facts, column.modifier, type.labels);
  const items = Math.max(1, facts.minItems ?? 1);
  ways.push(
    type.category === 'A' && own
      ? fc
          .array(own, { minLength: items, maxLength: items })
          .map((list) => `{${list.map((item) => JSON.stringify(item)).join(',')}}`)
      : own,
  );
  if (type.category === 'S' && facts.words.length > 0) ways.push(fc.constantFrom(...facts.words));
  return ways.filter((way) => way !== undefined);
}
