const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

const isLeapYear = (year: number) => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;

export function isCalendarDate(year: number, month: number, day: number): boolean {
  if (month < 1 || month > 12 || day < 1) return false;
  return day <= (month === 2 && isLeapYear(year) ? 29 : (DAYS[month - 1] as number));
}

/** Two digits at `at`, or -1. */
function pair(text: string, at: number): number {
  const tens = text.charCodeAt(at) - 48;
  const ones = text.charCodeAt(at + 1) - 48;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1;
}

/** The date that `text` starts with as the number yyyymmdd, or NaN. */
function leadingDate(text: string): number {
  if (text.charCodeAt(4) !== 45 || text.charCodeAt(7) !== 45) return Number.NaN;
  const century = pair(text, 0);
  const decade = pair(text, 2);
  if (century < 0 || decade < 0) return Number.NaN;
  const year = century * 100 + decade;
  const month = pair(text, 5);
  const day = pair(text, 8);
  return isCalendarDate(year, month, day) ? year * 10_000 + month * 100 + day : Number.NaN;
}

/** An ISO 8601 calendar date in extended format, `2024-02-29`, as the number 20240229; NaN if it is none. */
export function parseIsoDate(text: string): number {
  return text.length === 10 ? leadingDate(text) : Number.NaN;
}

const FRACTION = /^\.\d{1,9}$/;

/**
 * An ISO 8601 date and time in extended format as milliseconds since the epoch; NaN if it is none. Seconds, fraction
 * and offset (RFC 3339) may be left out; without an offset it counts as UTC. A leap second counts as the one before.
 */
export function parseIsoDatetime(text: string): number {
  const date = text.charCodeAt(10) === 84 ? leadingDate(text) : Number.NaN;
  const hours = pair(text, 11);
  const minutes = text.charCodeAt(13) === 58 ? pair(text, 14) : -1;
  if (Number.isNaN(date) || hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return Number.NaN;
  let end = text.length;
  let offset = 0;
  if (text.charCodeAt(end - 1) === 90) end -= 1;
  else if (end >= 22 && text.charCodeAt(end - 3) === 58 && /[+-]/.test(text.charAt(end - 6))) {
    offset = parseOffset(text, end - 6);
    end -= 6;
  }
  const seconds = end === 16 ? 0 : text.charCodeAt(16) === 58 ? pair(text, 17) : -1;
  const fraction = end > 19 ? text.slice(19, end) : '';
  if (end < 16 || end === 17 || end === 18 || seconds < 0 || seconds > 60) return Number.NaN;
  if (fraction !== '' && !FRACTION.test(fraction)) return Number.NaN;
  const year = Math.floor(date / 10_000);
  const start = new Date(0).setUTCFullYear(year, (Math.floor(date / 100) % 100) - 1, date % 100);
  return start + ((hours * 60 + minutes - offset) * 60 + Math.min(seconds, 59) + Number(`0${fraction}`)) * 1000;
}

/** Minutes east of UTC, or NaN. */
function parseOffset(text: string, at: number): number {
  const hours = pair(text, at + 1);
  const minutes = pair(text, at + 4);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return Number.NaN;
  return (text.charCodeAt(at) === 45 ? -1 : 1) * (hours * 60 + minutes);
}
