import Table from 'cli-table3';
import pc from 'picocolors';
import { type Bar, barText, type Verdict, verdictOf } from './bars.ts';
import type { Sample } from './rounds.ts';

export { median } from './statistics.ts';

export interface BenchOptions {
  /** Finish in two minutes or so, with less data and fewer rounds. */
  quick: boolean;
  /** Says what is being done: on standard error, so that standard output stays the result. */
  progress(message: string): void;
}

export interface BenchReport {
  title: string;
  head: string[];
  rows: (string | number)[][];
  /** How to read the table; setup that decides the figures. */
  notes: string[];
  /** What `--json` prints: keys as in the question's README. */
  figures: Record<string, unknown>;
  /** By key of `figures`. */
  bars?: Record<string, Bar>;
  /** By name of the side: what the HTML page draws. */
  samples?: Record<string, Sample[]>;
  /** Of statements under test, by name: what planOf() answers. */
  plans?: Record<string, string>;
}

/** `bench/<question>/bench.ts` exports one of these as its default. It leaves nothing running and no files. */
export type Bench = (options: BenchOptions) => Promise<BenchReport>;

const PAINT: Record<Verdict, (text: string) => string> = { met: pc.green, missed: pc.red };

export function showReport({ title, head, rows, notes, figures, bars = {} }: BenchReport): string {
  const style = pc.isColorSupported ? {} : { style: { head: [], border: [] } };
  const table = new Table({ head, ...style, colAligns: head.map((_, index) => (index === 0 ? 'left' : 'right')) });
  table.push(...rows);
  const judged = Object.entries(bars).map(([key, bar]) => {
    const verdict = verdictOf(figures[key], bar);
    return `${PAINT[verdict](verdict.padEnd(6))} ${key} ${figures[key] ?? '–'} (${barText(bar)})\n`;
  });
  return `\n${pc.bold(title)}\n${table.toString()}\n${notes.map((note) => `${note}\n`).join('')}${judged.join('')}`;
}
