import Table from 'cli-table3';
import pc from 'picocolors';

export interface BenchOptions {
  /** Finish in under two minutes, with less data and fewer rounds. */
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
}

/** `bench/<question>/bench.ts` exports one of these as its default. It leaves nothing running and no files. */
export type Bench = (options: BenchOptions) => Promise<BenchReport>;

export function showReport({ title, head, rows, notes }: BenchReport): string {
  const style = pc.isColorSupported ? {} : { style: { head: [], border: [] } };
  const table = new Table({ head, ...style, colAligns: head.map((_, index) => (index === 0 ? 'left' : 'right')) });
  table.push(...rows);
  return `\n${pc.bold(title)}\n${table.toString()}\n${notes.map((note) => `${note}\n`).join('')}`;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}
