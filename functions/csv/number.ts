/** Up to here a run of digits is an exact double. */
const EXACT_DIGITS = 15;
const POWERS = Array.from({ length: EXACT_DIGITS + 1 }, (_, exponent) => 10 ** exponent);

/** Decimal digits with an optional minus sign; NaN for anything else. */
export function parseInteger(text: string): number {
  const start = text.charCodeAt(0) === 45 ? 1 : 0;
  const length = text.length;
  if (length === start) return Number.NaN;
  let value = 0;
  for (let i = start; i < length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  if (length - start > EXACT_DIGITS) return Number(text);
  return start === 1 ? -value : value;
}

/**
 * Decimal notation with a point and perhaps an exponent: what JSON allows, and leading zeros. NaN for anything else.
 * Short numbers are read digit by digit, exactly: the quotient of two exact doubles is rounded once (Clinger 1990).
 */
export function parseNumber(text: string): number {
  const start = text.charCodeAt(0) === 45 ? 1 : 0;
  const length = text.length;
  let value = 0;
  let point = -1;
  let i = start;
  for (; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 48 && code <= 57) value = value * 10 + code - 48;
    else if (code === 46 && point === -1 && i > start) point = i;
    else break;
  }
  if (i === start || point === i - 1) return Number.NaN;
  if (i < length) return EXPONENT.test(text.slice(i)) ? Number(text) : Number.NaN;
  if (length - start > EXACT_DIGITS) return Number(text);
  if (point !== -1) value /= POWERS[length - point - 1] as number;
  return start === 1 ? -value : value;
}

const EXPONENT = /^[eE][+-]?\d+$/;
