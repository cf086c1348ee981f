import type { Column } from './columns.ts';
import type { Problem } from './findings.ts';

export type ExtraColumns = 'allow' | 'warn' | 'error';

export interface Layout {
  /** Names of the file's columns, in its order. */
  names: string[];
  /** For every declared column its position in the file, -1 when it is missing. */
  positions: number[];
  /** What is wrong with the header: one problem for each column, not for each row. */
  problems: Problem[];
  /** A required column is missing, so no row can be valid. */
  everyRowInvalid: boolean;
}

/** Where the declared columns are in a file with this header. Names are compared exactly, without outer space. */
export function layoutFromHeader(header: readonly string[], columns: readonly Column[], extra: ExtraColumns): Layout {
  const names = header.map((name) => name.trim());
  const problems: Problem[] = [];
  const first = new Map<string, number>();
  names.forEach((name, index) => {
    if (!first.has(name)) first.set(name, index);
    else problems.push({ rule: 'duplicate_column', severity: 'error', message: DUPLICATE, column: name });
  });

  const positions = columns.map((column) => first.get(column.name) ?? -1);
  for (const [index, column] of columns.entries()) {
    if (positions[index] !== -1) continue;
    const similar = names.find((name) => name.toLowerCase() === column.name.toLowerCase());
    const message = similar ? `not in the header, which has ${similar}` : 'not in the header';
    const severity = column.required ? 'error' : 'warning';
    problems.push({ rule: 'missing_column', severity, message, column: column.name });
  }

  const declared = new Set(columns.map((column) => column.name));
  for (const name of extra === 'allow' ? [] : first.keys()) {
    if (declared.has(name)) continue;
    const severity = extra === 'error' ? 'error' : 'warning';
    problems.push({ rule: 'extra_column', severity, message: 'not declared', column: name });
  }
  const everyRowInvalid = columns.some((column, index) => column.required && positions[index] === -1);
  return { names, positions, problems, everyRowInvalid };
}

/** For a file without a header: columns are declared in the file's order. */
export function layoutWithoutHeader(columns: readonly Column[]): Layout {
  return {
    names: columns.map((column) => column.name),
    positions: columns.map((_, index) => index),
    problems: [],
    everyRowInvalid: false,
  };
}

const DUPLICATE = 'there is another column of this name; rules look at the first';
