import { escaped } from './escaped.ts';

export interface Part {
  name: string;
  value: number;
}

export interface Row {
  name: string;
  /** One after another; one alone is a plain bar. */
  parts: readonly Part[];
  /** From the least to the most that was measured. */
  spread?: readonly [low: number, high: number];
}

const WIDTH = 960;
const NAMES = 300;
const VALUES = 90;
const ROW = 26;
const BAR = 15;

const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 4 });
const colour = (nth: number) => `var(--c${nth % 8})`;
const cut = (name: string) => (name.length > 42 ? `${name.slice(0, 41)}…` : name);

/**
 * Horizontal bars from zero, with their spread and, where bars have several parts, a legend.
 * @param unit for the text that a pointer brings up
 */
export function barPlot(rows: readonly Row[], unit: string): string {
  const total = (row: Row) => row.parts.reduce((sum, { value }) => sum + value, 0);
  const names = [...new Set(rows.flatMap(({ parts }) => parts.map(({ name }) => name)))];
  const legend = names.length > 1 ? 24 : 0;
  const most = Math.max(...rows.map((row) => Math.max(total(row), row.spread?.[1] ?? 0))) || 1;
  const x = (value: number) => NAMES + (value / most) * (WIDTH - NAMES - VALUES);
  const height = legend + rows.length * ROW + 4;
  const drawn = rows.map((row, nth) => {
    const top = legend + nth * ROW + (ROW - BAR) / 2;
    const text = (at: number, anchor: string, words: string) =>
      `<text x="${at.toFixed(1)}" y="${top + BAR - 3}" text-anchor="${anchor}">${escaped(words)}</text>`;
    let from = 0;
    const parts = row.parts.map(({ name, value }) => {
      const [left, right] = [x(from), x(from + value)];
      from += value;
      const title = `${row.name}${names.length > 1 ? `, ${name}` : ''}: ${short.format(value)} ${unit}`;
      const box = `x="${left.toFixed(1)}" y="${top}" width="${Math.max(0, right - left - 1).toFixed(1)}" height="${BAR}"`;
      return `<rect ${box} rx="2" fill="${colour(names.indexOf(name))}"><title>${escaped(title)}</title></rect>`;
    });
    const label = text(x(Math.max(total(row), row.spread?.[1] ?? 0)) + 6, 'start', short.format(total(row)));
    return `${text(NAMES - 10, 'end', cut(row.name))}${parts.join('')}${spreadLine(row, x, top)}${label}`;
  });
  const axis = `<line class="axis" x1="${NAMES}" x2="${NAMES}" y1="${legend}" y2="${height}"/>`;
  const key = legend > 0 ? legendOf(names) : '';
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img">${key}${axis}${drawn.join('')}</svg>`;
}

function spreadLine({ spread, name }: Row, x: (value: number) => number, top: number): string {
  if (!spread) return '';
  const [low, high] = spread.map((value) => x(value).toFixed(1));
  const middle = top + BAR / 2;
  const ends = [low, high].map((at) => `M${at} ${middle - 4}V${middle + 4}`).join('');
  const title = `${name}: ${short.format(spread[0])} to ${short.format(spread[1])}`;
  return `<path class="spread" d="M${low} ${middle}H${high}${ends}"><title>${escaped(title)}</title></path>`;
}

function legendOf(names: readonly string[]): string {
  let at = NAMES;
  return names
    .map((name, nth) => {
      const item = `<rect x="${at}" y="3" width="11" height="11" rx="2" fill="${colour(nth)}"/><text class="faint" x="${at + 16}" y="13">${escaped(name)}</text>`;
      at += 34 + name.length * 7.2;
      return item;
    })
    .join('');
}
