import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Result } from '../result.ts';
import type { Failure } from './markdown.ts';

const RUN = fileURLToPath(new URL('../run.ts', import.meta.url));

interface Answer {
  result?: Result;
  failure?: Failure;
}

/** In a process of its own: what one question leaves in the memory of this one would be another's handicap. */
export async function runQuestion(question: string, quick: boolean): Promise<Answer> {
  process.stderr.write(`\n${question}\n`);
  const child = spawn(process.execPath, [RUN, question, '--json', ...(quick ? ['--quick'] : [])], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  let told = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    told += text;
    process.stderr.write(text);
  });
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (code === 0) return { result: JSON.parse(printed.trimEnd().split('\n').at(-1) ?? '') as Result };
  const last = told.split('\n').filter((line) => /error/i.test(line));
  return { failure: { question, failure: last.at(-1)?.trim() ?? `exit code ${code}` } };
}
