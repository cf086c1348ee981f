import type { Cell, ProbeName, Verdict } from './types.ts';

type Place = Pick<Cell, 'relation' | 'verb' | 'role' | 'family'>;

/** Coverage: a cell for each relation, verb, role and family. One that nothing has filled fails the run. */
export interface Matrix {
  /**
   * The cell must be covered.
   * @param why `note`: there is nothing to allow in it, which still has to be tried; `nothing`: there is nothing to try.
   */
  expect(place: Place, why?: { note?: string | undefined; nothing?: string | undefined }): void;
  count(name: ProbeName, outcome: Verdict['outcome']): void;
  cells(): Cell[];
  /** Those where no probe was made, or none could be proved. */
  empty(): Cell[];
}

export function createMatrix(): Matrix {
  const cells = new Map<string, Cell>();
  const cellOf = ({ relation, verb, role, family }: Place): Cell => {
    const key = [relation, verb, role, family].join('\u0000');
    const cell = cells.get(key) ?? { relation, verb, role, family, probes: 0, leaks: 0, failures: 0 };
    cells.set(key, cell);
    return cell;
  };
  return {
    expect(place, { note, nothing } = {}) {
      const cell = cellOf(place);
      if (note ?? nothing) cell.note = (nothing ?? note) as string;
      if (nothing) cell.nothing = true;
    },
    count(place, outcome) {
      const cell = cellOf(place);
      cell.probes++;
      if (outcome === 'leak') cell.leaks++;
      else if (outcome !== 'held') cell.failures++;
    },
    cells: () => [...cells.values()],
    empty: () =>
      [...cells.values()].filter(({ probes, failures, nothing }) => (probes === 0 ? !nothing : failures === probes)),
  };
}
