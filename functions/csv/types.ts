import { parseIsoDate, parseIsoDatetime } from './calendar.ts';
import { parseInteger, parseNumber } from './number.ts';

export const COLUMN_TYPES = [
  'integer',
  'number',
  'boolean',
  'date',
  'datetime',
  'string',
  'email',
  'url',
  'uuid',
] as const;
export type ColumnType = (typeof COLUMN_TYPES)[number];

/** What a valid cell of each type is called in a message. */
export const TYPE_NOUNS: Record<ColumnType, string> = {
  integer: 'an integer',
  number: 'a number',
  boolean: 'true or false',
  date: 'an ISO 8601 date (2024-12-31)',
  datetime: 'an ISO 8601 date and time (2024-12-31T23:59:59Z)',
  string: 'text',
  email: 'an e-mail address',
  url: 'an http or https URL',
  uuid: 'a UUID',
};

/**
 * Reads a cell that is not empty and has no outer white space. NaN when it is not of the type; otherwise the number
 * that bounds compare: the value itself, yyyymmdd for dates, milliseconds for datetimes, 0 where nothing is compared.
 */
export type ParseCell = (text: string) => number;

export const TYPE_PARSERS: Record<ColumnType, ParseCell> = {
  integer: parseInteger,
  number: parseNumber,
  boolean: (text) => (isBoolean(text) ? 0 : Number.NaN),
  date: parseIsoDate,
  datetime: parseIsoDatetime,
  string: () => 0,
  email: (text) => (isEmail(text) ? 0 : Number.NaN),
  url: (text) => (isUrl(text) ? 0 : Number.NaN),
  uuid: (text) => (isUuid(text) ? 0 : Number.NaN),
};

export function isType(type: ColumnType, text: string): boolean {
  return !Number.isNaN(TYPE_PARSERS[type](text));
}

const BOOLEAN = /^(?:true|false)$/i;

function isBoolean(text: string): boolean {
  return BOOLEAN.test(text);
}

/** The WHATWG HTML definition of a valid e-mail address, with a domain of at least two labels. */
const EMAIL =
  /^[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+$/i;

function isEmail(text: string): boolean {
  return text.length <= 254 && EMAIL.test(text);
}

const HTTP_URL = /^https?:\/\/[^\s/]\S*$/i;

function isUrl(text: string): boolean {
  return HTTP_URL.test(text) && URL.canParse(text);
}

/** Loops over character codes: half the time of the regular expression. */
function isUuid(text: string): boolean {
  if (text.length !== 36) return false;
  for (let i = 0; i < 36; i++) {
    const code = text.charCodeAt(i);
    if (i === 8 || i === 13 || i === 18 || i === 23) {
      if (code !== 45) return false;
    } else if ((code < 48 || code > 57) && ((code | 32) < 97 || (code | 32) > 102)) return false;
  }
  return true;
}
