import fc from 'fast-check';
import type { Column } from '../catalogue.ts';
import type { Facts } from './facts.ts';

/** A value as PostgreSQL reads it from text. */
export type Text = fc.Arbitrary<string>;

const digits = (length: number) =>
  fc.integer({ min: 0, max: 36 ** 6 }).map((n) => `q${n.toString(36)}prove${n.toString(36)}`.slice(0, length));
const day = fc
  .integer({ min: 0, max: 25_000 })
  .map((n) => new Date(Date.UTC(2001, 0, 1) + n * 86_400_000).toISOString().slice(0, 10));
const moment = fc
  .integer({ min: 0, max: 2_000_000_000 })
  .map((n) => new Date(Date.UTC(2001, 0, 1) + n * 1000 + (n % 997)).toISOString());
const hex = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`));

function text(facts: Facts, limit: number): Text {
  const least = facts.minLength ?? 1;
  const most = Math.min(limit, facts.maxLength ?? 24, 300);
  return digits(Math.max(1, Math.min(most, 24))).map((word) => word.padEnd(Math.min(least, most), 'x'));
}

function integer(facts: Facts, lowest: number, highest: number): Text {
  const min = Math.ceil(Math.max(lowest, facts.min ?? Math.min(100_000, highest / 2)));
  const max = Math.floor(Math.min(highest, facts.max ?? Math.max(min, highest)));
  return fc.integer({ min: Math.min(min, max), max }).map(String);
}

function numeric(facts: Facts, modifier: number): Text {
  const precision = modifier > 4 ? (modifier - 4) >> 16 : 12;
  const scale = modifier > 4 ? (modifier - 4) & 0x7ff : 2;
  const highest = 10 ** Math.min(9, precision - scale) - 1;
  const whole = integer(facts, -highest, Math.max(1, highest));
  return scale > 0 && facts.max === undefined
    ? fc.tuple(whole, fc.integer({ min: 1, max: 9 })).map(([n, d]) => `${n}.${d}`)
    : whole;
}

function json(facts: Facts): Text {
  const marker = digits(20);
  if (facts.jsonType === 'array') return marker.map((value) => JSON.stringify([value]));
  if (facts.jsonType === 'string') return marker.map((value) => JSON.stringify(value));
  if (facts.jsonType === 'number') return integer({ ...facts }, 0, 2 ** 31 - 1);
  if (facts.jsonType === 'boolean') return fc.boolean().map(String);
  return marker.map((value) => JSON.stringify({ marker: value }));
}

/** Bounds in order; not so wide that two of them must overlap. */
export function range(subtype: string, column: Column): Text | undefined {
  const from = (step: number, show: (n: number) => string, most: number): Text =>
    fc.integer({ min: 0, max: most }).map((n) => `[${show(n)},${show(n + step)})`);
  const wrap = (one: Text) => (column.type.kind === 'm' ? one.map((value) => `{${value}}`) : one);
  const time = (n: number) => new Date(Date.UTC(2001, 0, 1) + n * 1000).toISOString();
  if (subtype === 'date') return wrap(from(3, (n) => time(n * 86_400).slice(0, 10), 25_000));
  if (subtype === 'timestamp' || subtype === 'timestamptz')
    return wrap(from(3600, (n) => `"${time(n)}"`, 2_000_000_000));
  if (/^(?:int4|int8|numeric)$/.test(subtype)) return wrap(from(5, String, 1_000_000_000));
  return undefined;
}

/** Text of a type, or undefined where there is no telling. */
export function ofType(name: string, facts: Facts, modifier: number, labels: string[] | null): Text | undefined {
  if (labels) return fc.constantFrom(...labels.toReversed());
  switch (name) {
    case 'text':
    case 'citext':
      return text(facts, 200);
    case 'varchar':
    case 'bpchar':
      return text(facts, modifier > 4 ? modifier - 4 : name === 'bpchar' ? 1 : 200);
    case 'name':
      return text(facts, 60);
    case 'char':
      return fc.constantFrom('a', 'b', 'c');
    case 'uuid':
      return fc.uuid({ version: 4 });
    case 'int2':
      return integer(facts, -32_768, 32_767);
    case 'int4':
      return integer(facts, -(2 ** 31), 2 ** 31 - 1);
    case 'int8':
    case 'oid':
      return integer(facts, 0, 4_000_000_000);
    case 'float4':
    case 'float8':
    case 'money':
      return integer(facts, -(2 ** 20), 2 ** 20);
    case 'numeric':
      return numeric(facts, modifier);
    case 'bool':
      return fc.boolean().map(String);
    case 'date':
      return day;
    case 'timestamp':
    case 'timestamptz':
      return moment;
    case 'time':
    case 'timetz':
      return moment.map((value) => value.slice(11, 19));
    case 'interval':
      return fc.integer({ min: 1, max: 100_000 }).map((n) => `${n} seconds`);
    case 'json':
    case 'jsonb':
      return json(facts);
    case 'bytea':
      return hex(24).map((value) => `\\x${value}`);
    case 'inet':
    case 'cidr':
      return fc.integer({ min: 0, max: 0xffff }).map((n) => `10.7.${n >> 8}.${n & 255}`);
    case 'macaddr':
      return hex(12).map((value) => (value.match(/../g) as string[]).join(':'));
    case 'bit':
    case 'varbit':
      return fc.constant('1'.repeat(Math.max(1, modifier)));
    case 'xml':
      return digits(16).map((value) => `<prove>${value}</prove>`);
    case 'tsvector':
    case 'ltree':
      return digits(16);
    case 'tsquery':
      return digits(16);
    case 'point':
      return fc.integer({ min: 1, max: 9999 }).map((n) => `(${n},${n + 1})`);
    default:
      return undefined;
  }
}
