import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { renderPage } from '../html/page.ts';
import { QUESTIONS } from '../questions.ts';
import type { Result } from '../result.ts';
import { type Failure, renderResults } from './markdown.ts';
import { runQuestion } from './run-question.ts';

interface Options {
  quick: boolean;
  from?: string;
  keep?: string;
  output: string;
}

const RESULTS = fileURLToPath(new URL('../RESULTS.md', import.meta.url));

/** Results that `--keep`, or `--json` of single runs, left in a folder: the last line of each file. */
function readResults(directory: string): Result[] {
  const files = readdirSync(directory).filter((name) => name.endsWith('.json'));
  const results = files.sort().map((name) => {
    const last = readFileSync(join(directory, name), 'utf8').trimEnd().split('\n').at(-1) ?? '';
    const result = JSON.parse(last) as Partial<Result>;
    if (!result.run) throw new Error(`${join(directory, name)} holds no result of npm run bench -- QUESTION --json`);
    return result as Result;
  });
  if (results.length === 0) throw new Error(`${directory} holds no results (*.json)`);
  return results;
}

function keep(directory: string, result: Result): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, `${result.run.question}.json`), `${JSON.stringify(result)}\n`);
  writeFileSync(join(directory, `${result.run.question}.html`), renderPage(result));
}

const command = new Command('npm run bench:report --')
  .description('Asks every question in turn, and writes bench/RESULTS.md. Leave the machine alone meanwhile.')
  .argument('[questions...]', `default: all of ${QUESTIONS.join(', ')}`)
  .option('--quick', 'smaller runs, of two minutes or so each', false)
  .option('--from <dir>', 'take results of earlier runs from a folder, but for questions that are named')
  .option('--keep <dir>', 'also write the result and a page of each question to a folder')
  .option('--output <file>', 'another file to write', RESULTS)
  .action(async (asked: string[], options: Options) => {
    const unknown = asked.filter((question) => !QUESTIONS.includes(question));
    if (unknown.length > 0) {
      const known = QUESTIONS.join(', ');
      command.error(`error: no benchmark called ${unknown.join(', ')}; there are: ${known}`, { exitCode: 2 });
    }
    let earlier: Result[] = [];
    try {
      if (options.from !== undefined) earlier = readResults(options.from);
    } catch (error) {
      command.error(`error: ${(error as Error).message}`, { exitCode: 2 });
    }
    const results = earlier.filter(({ run }) => !asked.includes(run.question));
    const failures: Failure[] = [];
    for (const question of options.from === undefined && asked.length === 0 ? QUESTIONS : asked) {
      const { result, failure } = await runQuestion(question, options.quick);
      if (failure) failures.push(failure);
      if (result) results.push(result);
      if (result && options.keep !== undefined) keep(options.keep, result);
    }
    writeFileSync(options.output, renderResults(results, failures));
    process.stderr.write(`${options.output} written\n`);
    if (failures.length > 0) process.exitCode = 1;
  });

await command.parseAsync();
