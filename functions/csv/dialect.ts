export const DELIMITERS = [',', ';', '\t', '|'] as const;
export type Delimiter = (typeof DELIMITERS)[number];

export interface Dialect {
  delimiter: Delimiter;
  /** What ends a record, longest first. A file may mix LF and CRLF; CR counts only where nothing else ends a line. */
  lineEndings: string[];
}

/** Records of the sample that are compared. */
const SAMPLE_RECORDS = 50;

/**
 * Finds delimiter and line endings from the start of a file. (The delimiter_auto of csv-parse 7.0.3 throws on any
 * character above U+007E.)
 * @param names columns that the header should have: the delimiter that finds most of them wins.
 */
export function detectDialect(sample: string, declared: Delimiter | 'auto', names: readonly string[]): Dialect {
  const { lineEndings, records } = splitRecords(sample);
  if (declared !== 'auto') return { delimiter: declared, lineEndings };
  const wanted = new Set(names);
  let best: { delimiter: Delimiter; score: number } = { delimiter: ',', score: 0 };
  for (const delimiter of DELIMITERS) {
    const score = delimiterScore(records, delimiter, wanted);
    if (score > best.score) best = { delimiter, score };
  }
  return { delimiter: best.delimiter, lineEndings };
}

/** Splits at line ends outside quotes; delimiters and line ends inside quotes become spaces. */
function splitRecords(sample: string): { lineEndings: string[]; records: string[] } {
  const lineEndings = /\n/.test(sample.replace(/"[^"]*"/g, '')) || !sample.includes('\r') ? ['\r\n', '\n'] : ['\r'];
  const parts = sample.split('"');
  const unquoted = parts.map((part, index) => (index % 2 === 0 ? part : part.replace(/[\r\n,;\t|]/g, ' '))).join('');
  const records = unquoted.split(lineEndings.length === 1 ? '\r' : /\r?\n/, SAMPLE_RECORDS + 1);
  // The last one may be cut where the sample ends.
  if (records.length > 1) records.pop();
  return { lineEndings, records: records.filter((record) => record.trim() !== '') };
}

/** Known names in the header count most, then how many records have the header's width, then the width itself. */
function delimiterScore(records: readonly string[], delimiter: Delimiter, wanted: ReadonlySet<string>): number {
  const [header = [], ...rows] = records.map((record) => record.split(delimiter));
  if (header.length < 2) return 0;
  const known = header.filter((name) => wanted.has(name.trim())).length;
  const regular = rows.filter((row) => row.length === header.length).length / Math.max(rows.length, 1);
  return known * 1000 + regular * 100 + Math.min(header.length, 99) / 100;
}
