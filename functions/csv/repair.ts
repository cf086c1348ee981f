import { type DateOrder, repairDate, repairDatetime } from './repair-date.ts';
import { repairNumber } from './repair-number.ts';
import { type ColumnType, isType } from './types.ts';

/** A valid value that means the same as `text`, or nothing when there is none or more than one reading. */
export type Repair = (text: string) => string | undefined;

/**
 * How cells of a type that fail its test are repaired. Repair never guesses: what can be read in two ways stays as
 * it is and remains a finding.
 */
export function repairFor(type: ColumnType, dateOrder: DateOrder | undefined): Repair | undefined {
  if (type === 'integer') return (text) => repairNumber(text, true);
  if (type === 'number') return (text) => repairNumber(text, false);
  if (type === 'boolean') return (text) => BOOLEANS.get(text.toLowerCase());
  if (type === 'date') return (text) => repairDate(text, dateOrder);
  if (type === 'datetime') return (text) => repairDatetime(text, dateOrder);
  if (type === 'uuid') return repairUuid;
  return undefined;
}

/** The one way of writing a value that is valid already; absent for types that have just one. */
export const CANONICAL: Partial<Record<ColumnType, (text: string) => string>> = {
  boolean: (text) => text.toLowerCase(),
  uuid: (text) => text.toLowerCase(),
  // The local part may be case-sensitive (RFC 5321, 2.4); the domain is not.
  email: (text) => {
    const at = text.lastIndexOf('@');
    return text.slice(0, at) + text.slice(at).toLowerCase();
  },
};

const BOOLEANS = new Map([
  ...['yes', 'y', '1', 'true', 't', 'on'].map((word) => [word, 'true'] as const),
  ...['no', 'n', '0', 'false', 'f', 'off'].map((word) => [word, 'false'] as const),
]);

/** Braces, `urn:uuid:` and missing hyphens. */
function repairUuid(text: string): string | undefined {
  const digits = text.toLowerCase().replace(/^urn:uuid:|^\{|\}$/g, '');
  const hyphened = digits.replace(
    /^([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})$/,
    '$1-$2-$3-$4-$5',
  );
  return isType('uuid', hyphened) ? hyphened : undefined;
}
