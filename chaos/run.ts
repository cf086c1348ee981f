import { existsSync, readdirSync } from 'node:fs';
import { Command } from 'commander';
import { type BenchReport, showReport } from '../bench/report.ts';

export interface ChaosOptions {
  /** Finish in under two minutes, with fewer operations. */
  quick: boolean;
  /** Says what is being done, on standard error. */
  progress(message: string): void;
}

/** `chaos/<subject>/chaos.ts` exports one of these as its default. It leaves nothing running and no files. */
export type Chaos = (options: ChaosOptions) => Promise<BenchReport & { passed: boolean }>;

const subjects = readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(`${import.meta.dirname}/${entry.name}/chaos.ts`))
  .map((entry) => entry.name);

const command = new Command('npm run chaos --')
  .description('Breaks one part of a real stack at random, and counts what went wrong. Exits with 1 if anything did.')
  .argument('<subject>', `one of: ${subjects.join(', ')}`)
  .option('--quick', 'a smaller run, under two minutes', false)
  .option('--json', 'print the figures as one JSON object on the last line', false)
  .action(async (subject: string, options: { quick: boolean; json: boolean }) => {
    if (!subjects.includes(subject)) {
      command.error(`error: no fault run called ${subject}; there are: ${subjects.join(', ')}`);
    }
    const chaos = (await import(`./${subject}/chaos.ts`)) as { default: Chaos };
    const progress = (message: string) => process.stderr.write(`${message}\n`);
    const report = await chaos.default({ quick: options.quick, progress });
    process.stdout.write(showReport(report));
    if (options.json) process.stdout.write(`${JSON.stringify(report.figures)}\n`);
    process.exitCode = report.passed ? 0 : 1;
  });

await command.parseAsync();
