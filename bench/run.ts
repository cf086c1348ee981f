import { existsSync, readdirSync } from 'node:fs';
import { Command } from 'commander';
import { type Bench, showReport } from './report.ts';

const questions = readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(`${import.meta.dirname}/${entry.name}/bench.ts`))
  .map((entry) => entry.name);

const command = new Command('npm run bench --')
  .description('Answers one question about speed by measuring both sides in one run.')
  .argument('<question>', `one of: ${questions.join(', ')}`)
  .option('--quick', 'a smaller run, under two minutes', false)
  .option('--json', 'print the figures as one JSON object on the last line', false)
  .action(async (question: string, options: { quick: boolean; json: boolean }) => {
    if (!questions.includes(question)) {
      command.error(`error: no benchmark called ${question}; there are: ${questions.join(', ')}`);
    }
    const bench = (await import(`./${question}/bench.ts`)) as { default: Bench };
    const progress = (message: string) => process.stderr.write(`${message}\n`);
    const report = await bench.default({ quick: options.quick, progress });
    process.stdout.write(showReport(report));
    if (options.json) process.stdout.write(`${JSON.stringify(report.figures)}\n`);
  });

await command.parseAsync();
