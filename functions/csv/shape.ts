import type { Problem } from './findings.ts';
import type { CurrentRecord } from './records.ts';

/** Larger cells are reported: no spreadsheet and few databases take them. */
export const MAX_CELL_LENGTH = 1024 * 1024;

/** A line with nothing on it, or only white space. */
export function isBlank(fields: readonly string[]): boolean {
  return fields.length === 1 && (fields[0] as string).trim() === '';
}

export function wrongWidth(fields: readonly string[], width: number): Problem {
  const rule = fields.length < width ? 'too_few_fields' : 'too_many_fields';
  const message = `${fields.length} fields where the file has ${width} columns`;
  return { rule, severity: 'error', message };
}

/** NUL, which most databases refuse, and U+FFFD, which stands for bytes that are not in the file's encoding. */
export function cellsWithBrokenBytes(
  fields: string[],
  names: readonly string[],
  repair: boolean,
  out: Problem[],
): void {
  fields.forEach((value, index) => {
    const column = names[index];
    if (value.includes('\uFFFD')) {
      const message = 'has bytes that are not valid in the encoding of the file, shown as \uFFFD';
      out.push({ rule: 'encoding', severity: 'error', message, column, value });
    }
    if (!value.includes('\0')) return;
    if (!repair) {
      out.push({ rule: 'nul_byte', severity: 'error', message: 'has a NUL byte', column, value });
      return;
    }
    const repaired = value.replaceAll('\0', '');
    const message = 'has a NUL byte';
    out.push({ rule: 'nul_byte', severity: 'warning', message, column, value, repaired, correction: 'nul_byte' });
    fields[index] = repaired;
  });
}

export function cellsTooLarge(
  fields: readonly string[],
  names: readonly string[],
  current: CurrentRecord,
  out: Problem[],
) {
  if (current.bytes() <= MAX_CELL_LENGTH) return;
  fields.forEach((value, index) => {
    if (value.length <= MAX_CELL_LENGTH) return;
    const message = `${value.length} characters, more than ${MAX_CELL_LENGTH}`;
    out.push({ rule: 'field_too_large', severity: 'error', message, column: names[index], value });
  });
}

/**
 * Text behind a closing quote ("ab"c): csv-parse reads such a cell as it stands, quotes included, and a missing quote
 * can so swallow the line end and the row behind it. A cell that starts with a quote looks the same when it was
 * written properly; the text of the record tells them apart.
 */
export function cellsWithBrokenQuotes(
  fields: readonly string[],
  names: readonly string[],
  current: CurrentRecord,
  out: Problem[],
) {
  for (let i = 0; i < fields.length; i++) {
    const value = fields[i] as string;
    if (value.charCodeAt(0) !== 34) continue;
    if (current.text().includes(`"${value.replaceAll('"', '""')}"`)) continue;
    const message = 'has text behind a closing quote: a quote is missing or not doubled';
    out.push({ rule: 'malformed_quotes', severity: 'error', message, column: names[i], value });
  }
}
