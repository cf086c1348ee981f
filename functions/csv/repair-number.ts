import { parseInteger, parseNumber } from './number.ts';

/** 1,234.5 and 1,234,567 */
const COMMA_GROUPS = /^\d{1,3}(,\d{3})+(\.\d+)?$/;
/** 1.234,5 and 1.234.567 */
const POINT_GROUPS = /^\d{1,3}(\.\d{3})+(,\d+)?$/;
/** 1 234,5 and 1'234.5, with the spaces that locales use */
const SPACE_GROUPS = /^\d{1,3}(?:([ '\u2019\u00a0\u2009\u202f])\d{3})(?:\1\d{3})*(?:[.,]\d+)?$/;
/** 1,5 and 1.5, ,5 and .5, 5. */
const PLAIN = /^\d*[.,]\d+$|^\d+[.,]$/;

/**
 * Writes a number with a point and without separators. A single group of three digits behind one separator has two
 * readings (1,234 is 1234 or 1.234) and is left alone, except a comma in an integer column, which can only group.
 */
export function repairNumber(text: string, integer: boolean): string | undefined {
  const [, sign = '', body = ''] = /^([+\-\u2212]?)(.*)$/.exec(text) ?? [];
  const decimal = toPoint(body, integer);
  if (decimal === undefined) return undefined;
  const number = integer ? decimal.replace(/\.0+$/, '') : decimal;
  if (Number.isNaN(integer ? parseInteger(number) : parseNumber(number))) return undefined;
  return sign === '' || sign === '+' ? number : `-${number}`;
}

function toPoint(body: string, integer: boolean): string | undefined {
  const oneGroup = /^\d{1,3}[.,]\d{3}$/.test(body);
  if (COMMA_GROUPS.test(body)) {
    if (!oneGroup || (integer && !body.startsWith('0'))) return body.replaceAll(',', '');
    return body.startsWith('0,') && !integer ? body.replace(',', '.') : undefined;
  }
  if (POINT_GROUPS.test(body) && !oneGroup) return body.replaceAll('.', '').replace(',', '.');
  if (SPACE_GROUPS.test(body)) return body.replace(/[ '\u2019\u00a0\u2009\u202f]/g, '').replace(',', '.');
  if (integer && oneGroup) return undefined;
  if (!PLAIN.test(body)) return body;
  const point = body.replace(',', '.').replace(/\.$/, '');
  return point.startsWith('.') ? `0${point}` : point;
}
