import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { renderPage } from './html/page.ts';
import { QUESTIONS } from './questions.ts';
import { showReport } from './report.ts';
import { answer } from './result.ts';

interface Options {
  quick: boolean;
  json: boolean;
  html?: string;
}

const command = new Command('npm run bench --')
  .description('Answers one question about speed by measuring all sides in one run.')
  .argument('<question>', `one of: ${QUESTIONS.join(', ')}`)
  .option('--quick', 'a smaller run, of two minutes or so', false)
  .option('--json', 'print the figures, and how they came about, as one JSON object on the last line', false)
  .option('--html <file>', 'write a page with plots that needs nothing but itself')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .action(async (question: string, { quick, json, html }: Options) => {
    if (!QUESTIONS.includes(question)) {
      command.error(`error: no benchmark called ${question}; there are: ${QUESTIONS.join(', ')}`);
    }
    const began = performance.now();
    const progress = (message: string) => {
      const seconds = Math.round((performance.now() - began) / 1000);
      process.stderr.write(`${String(seconds).padStart(4)} s  ${message}\n`);
    };
    const { report, result } = await answer({ question, quick, progress });
    process.stdout.write(showReport(report));
    if (html !== undefined) {
      writeFileSync(html, renderPage(result));
      progress(`${html} written`);
    }
    if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
  });

await command.parseAsync();
