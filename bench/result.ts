import { type Machine, machine, versions } from './machine.ts';
import type { Bench, BenchReport } from './report.ts';

/** How figures came about; with them, all that a page or a file of results shows. */
export interface Run extends Omit<BenchReport, 'figures'> {
  question: string;
  quick: boolean;
  at: string;
  seconds: number;
  machine: Machine;
  versions: Record<string, string>;
}

/** What `--json` prints: the figures by their keys, and under `run` how they came about. */
export interface Result {
  run: Run;
  [figure: string]: unknown;
}

export interface Asked {
  question: string;
  quick: boolean;
  progress(message: string): void;
}

/** Runs a question. @throws what its bench throws */
export async function answer({ question, quick, progress }: Asked): Promise<{ report: BenchReport; result: Result }> {
  const { default: bench } = (await import(`./${question}/bench.ts`)) as { default: Bench };
  const before = await machine();
  const began = performance.now();
  const report = await bench({ quick, progress });
  const seconds = Math.round((performance.now() - began) / 1000);
  const { figures, ...told } = report;
  const run: Run = {
    ...told,
    ...{ question, quick, seconds, at: new Date().toISOString(), machine: before, versions: versions() },
  };
  return { report, result: { ...figures, run } };
}
