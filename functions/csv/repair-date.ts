import { isCalendarDate, parseIsoDate, parseIsoDatetime } from './calendar.ts';

export const DATE_ORDERS = ['ymd', 'dmy', 'mdy'] as const;
export type DateOrder = (typeof DATE_ORDERS)[number];

const MONTHS = 'january february march april may june july august september october november december'.split(' ');

const YEAR_FIRST = /^(\d{4})([-/. ])(\d{1,2})\2(\d{1,2})$/;
const COMPACT = /^(\d{4})(\d{2})(\d{2})$/;
const YEAR_LAST = /^(\d{1,2})([-/. ])(\d{1,2})\2(\d{4})$/;
const SHORT_YEAR = /^(\d{1,2})([-/. ])(\d{1,2})\2(\d{2})$/;
const DAY_NAME_YEAR = /^(\d{1,2})(?:st|nd|rd|th)?[-/. ]{1,2}([a-z]{3,9})[-/., ]{1,2}(\d{4})$/i;
const NAME_DAY_YEAR = /^([a-z]{3,9})[-. ]{1,2}(\d{1,2})(?:st|nd|rd|th)?[-, ]{1,2}(\d{4})$/i;
const DATE_AND_TIME = /^(.*?\d)[Tt ,]\s*(\d{1,2}:\d{2}.*)$/;
const TIME =
  /^(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*(?:([ap])\.?m\.?)?\s*(z|utc|gmt|[+-]\d{2}(?::?\d{2})?)?$/i;

/**
 * Reads a date written in another way than ISO 8601. Day and month in digits need `order`, unless one of them is
 * above 12 or both are equal; so do years of two digits (69–99 are 19xx, as in POSIX). A time of midnight is dropped.
 */
export function repairDate(text: string, order: DateOrder | undefined): string | undefined {
  const [, day = text, time] = DATE_AND_TIME.exec(text) ?? [];
  if (time !== undefined && !/^0{1,2}:00(:00([.,]0+)?)?(z|\+00:?00)?$/i.test(time)) return undefined;
  return parseDate(day, order);
}

/** Reads a date and time written in another way than ISO 8601; the offset stays what it is, absent included. */
export function repairDatetime(text: string, order: DateOrder | undefined): string | undefined {
  const [, day, time] = DATE_AND_TIME.exec(text) ?? [];
  if (day === undefined || time === undefined) return undefined;
  const date = parseDate(day, order);
  const clock = parseTime(time);
  const datetime = date && clock ? `${date}T${clock}` : '';
  return Number.isNaN(parseIsoDatetime(datetime)) ? undefined : datetime;
}

function parseDate(text: string, order: DateOrder | undefined): string | undefined {
  if (!Number.isNaN(parseIsoDate(text))) return text;
  let match = YEAR_FIRST.exec(text);
  if (match) return date(match[1], match[3], match[4]);
  match = COMPACT.exec(text);
  if (match) return date(match[1], match[2], match[3]);
  match = YEAR_LAST.exec(text);
  if (match) return dayAndMonth(match[4], Number(match[1]), Number(match[3]), order);
  match = DAY_NAME_YEAR.exec(text);
  if (match) return date(match[3], monthNumber(match[2]), match[1]);
  match = NAME_DAY_YEAR.exec(text);
  if (match) return date(match[3], monthNumber(match[1]), match[2]);
  match = SHORT_YEAR.exec(text);
  if (!match || !order) return undefined;
  if (order === 'ymd') return match[1]?.length === 2 ? date(longYear(match[1]), match[3], match[4]) : undefined;
  return dayAndMonth(longYear(match[4]), Number(match[1]), Number(match[3]), order);
}

function dayAndMonth(year: string | number | undefined, first: number, second: number, order: DateOrder | undefined) {
  if (order === 'dmy') return date(year, second, first);
  if (order === 'mdy') return date(year, first, second);
  if (first > 12 || first === second) return date(year, second, first);
  return second > 12 ? date(year, first, second) : undefined;
}

const longYear = (year: string | undefined) => (Number(year) >= 69 ? 1900 : 2000) + Number(year);

function monthNumber(name: string | undefined): number {
  const lower = (name ?? '').toLowerCase();
  const short = lower === 'sept' ? 'sep' : lower;
  return MONTHS.findIndex((month) => month === short || month.slice(0, 3) === short) + 1;
}

function date(year: string | number | undefined, month: string | number | undefined, day: string | number | undefined) {
  const [y, m, d] = [Number(year), Number(month), Number(day)];
  if (!isCalendarDate(y, m, d)) return undefined;
  return `${String(y).padStart(4, '0')}-${two(m)}-${two(d)}`;
}

const two = (number: number) => String(number).padStart(2, '0');

function parseTime(text: string): string | undefined {
  const match = TIME.exec(text);
  if (!match) return undefined;
  const [, hours, minutes, seconds = '00', fraction, half, zone = ''] = match;
  let hour = Number(hours);
  if (half) {
    if (hour < 1 || hour > 12) return undefined;
    hour = (hour % 12) + (half.toLowerCase() === 'p' ? 12 : 0);
  }
  return `${two(hour)}:${minutes}:${seconds}${fraction ? `.${fraction}` : ''}${offset(zone)}`;
}

function offset(zone: string): string {
  if (zone === '') return '';
  if (/^[a-z]/i.test(zone)) return 'Z';
  return `${zone.slice(0, 3)}:${zone.slice(3).replace(':', '') || '00'}`;
}
