import { type Cell, type ProveReport, ROLES } from '../types.ts';

/** A line of the matrix: what was tried at one relation with one verb, by each role. */
export interface MatrixRow {
  relation: string;
  verb: string;
  family?: string;
  cells: { role: string; text: string; bad: boolean; notes: string[] }[];
}

export const COLUMNS = [...ROLES, 'logins'] as const;

function summed(cells: readonly Cell[]): { text: string; bad: boolean; notes: string[] } {
  const sum = (of: (cell: Cell) => number) => cells.reduce((total, cell) => total + of(cell), 0);
  const probes = sum((cell) => cell.probes);
  const wrong = sum((cell) => cell.leaks + cell.failures);
  const empty = cells.filter((cell) => cell.probes === 0 && !cell.nothing).length;
  const notes = [...new Set(cells.flatMap(({ note }) => note ?? []))];
  const text =
    cells.length === 0
      ? ''
      : [`${probes}`, wrong > 0 ? `✗${wrong}` : '', empty > 0 ? `○${empty}` : ''].filter(Boolean).join(' ');
  return { text, bad: wrong > 0 || empty > 0, notes };
}

/** The matrix by relation and verb, or by family as well. */
export function matrixRows({ cells }: ProveReport, byFamily = false): MatrixRow[] {
  const keys = new Map<string, Cell[]>();
  for (const cell of cells) {
    const key = [cell.relation, cell.verb, ...(byFamily ? [cell.family] : [])].join('\u0000');
    keys.set(key, [...(keys.get(key) ?? []), cell]);
  }
  return [...keys].map(([key, own]) => {
    const [relation = '', verb = '', family] = key.split('\u0000');
    const columns = COLUMNS.map((role) => ({
      role,
      ...summed(
        own.filter((cell) =>
          cell.verb === 'session' || cell.verb === 'rule' ? role === 'logins' : cell.role === role,
        ),
      ),
    }));
    return { relation, verb, ...(family ? { family } : {}), cells: columns };
  });
}
