/**
 * Whether a spreadsheet would run the cell as a formula: it starts with = + - @, tab, carriage return or line feed,
 * or the full-width forms of the first four (OWASP, CSV Injection).
 */
export function startsFormula(cell: string): boolean {
  const code = cell.charCodeAt(0);
  // A letter or digit, which is nearly every cell, leaves after one comparison.
  if (code > 64 && code < 0xff0b) return false;
  return (
    code === 61 ||
    code === 43 ||
    code === 45 ||
    code === 64 ||
    code === 9 ||
    code === 13 ||
    code === 10 ||
    code === 0xff1d ||
    code === 0xff0b ||
    code === 0xff0d ||
    code === 0xff20
  );
}

/** A leading apostrophe makes a spreadsheet take the cell as text. */
export const neutralise = (cell: string): string => `'${cell}`;
