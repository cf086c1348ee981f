/** What a figure has to reach. */
export interface Bar {
  atLeast?: number;
  atMost?: number;
}

export type Verdict = 'met' | 'missed';

/** A figure that was not measured has missed its bar. */
export function verdictOf(
  figure: unknown,
  { atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY }: Bar,
): Verdict {
  return typeof figure === 'number' && figure >= atLeast && figure <= atMost ? 'met' : 'missed';
}

export function barText({ atLeast, atMost }: Bar): string {
  return [atLeast === undefined ? '' : `≥ ${atLeast}`, atMost === undefined ? '' : `≤ ${atMost}`]
    .filter(Boolean)
    .join(', ');
}
