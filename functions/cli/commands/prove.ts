import { randomInt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { RowhouseError } from '../../errors.ts';
import { mutationJson, mutationTable, survivorsOf } from '../../prove/mutate/report.ts';
import { mutate } from '../../prove/mutate/run.ts';
import { htmlReport } from '../../prove/report/html.ts';
import { isClean, jsonReport } from '../../prove/report/json.ts';
import { junitReport } from '../../prove/report/junit.ts';
import { tableReport } from '../../prove/report/table.ts';
import { prove } from '../../prove/run.ts';
import type { ProveTarget } from '../../prove/types.ts';
import { parseCount } from '../arguments.ts';
import { type DatabaseOptions, databaseUrl, namedDatabase, runningStack, withDatabaseOptions } from '../database.ts';
import { reportFailure } from '../failure.ts';
import { print, progress } from '../output.ts';

interface ProveCommandOptions extends DatabaseOptions {
  postgrest?: string;
  edge?: string;
  session: string[];
  seed?: number;
  quick?: boolean;
  junit?: string;
  html?: string;
  allowAnyDatabase?: boolean;
  mutate?: boolean;
  only?: string;
  sample?: number;
}

const EXAMPLES = `
Exit code: 0 nothing gave way, 1 it did or was not covered, 2 it could not run.
Examples:
  $ rowhouse prove
  $ rowhouse prove --quick
  $ rowhouse prove --seed 7 --html prove.html --junit prove.xml
  $ rowhouse prove --mutate
  $ rowhouse prove --mutate --only policy --json
  $ rowhouse prove --database postgres://rowhouse_migrator:…@db/copy --postgrest http://127.0.0.1:3000 --json`;

function parseSeed(text: string): number {
  if (!/^\d{1,10}$/.test(text) || Number(text) > 2 ** 31 - 1)
    throw new InvalidArgumentError('Write a whole number below 2147483648.');
  return Number(text);
}

const collect = (url: string, before: string[]): string[] => [...before, url];

/** What was named; else the stack that runs here, with every login that it has. */
function targetOf(options: ProveCommandOptions): ProveTarget {
  const stack = namedDatabase(options) === undefined ? runningStack(options.stateDir) : undefined;
  const postgrest = options.postgrest ?? stack?.postgrest;
  const database = databaseUrl(options);
  if (!postgrest) {
    throw new RowhouseError('usage_invalid', {
      detail: 'A database was named, and no PostgREST.',
      hint: 'Add --postgrest with the address of the one in front of it.',
    });
  }
  const edge = options.edge ?? stack?.edge;
  const logins = stack ? [stack.database.authenticator, stack.database.worker, stack.database.edge] : [];
  return {
    database,
    postgrest,
    sessions: options.session.length > 0 ? options.session : logins,
    allowAnyDatabase: options.allowAnyDatabase === true,
    ...(edge ? { edge } : {}),
  };
}

/** Runs `work`, which is told of an interruption and takes back what it made. */
async function interruptible(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const interruption = new AbortController();
  const interrupt = () => interruption.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    await work(interruption.signal);
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

async function run(options: ProveCommandOptions): Promise<void> {
  if (options.only !== undefined || options.sample !== undefined)
    throw new RowhouseError('usage_invalid', { detail: '--only and --sample choose mutants.', hint: 'Add --mutate.' });
  const target = targetOf(options);
  return interruptible(async (signal) => {
    const report = await prove(target, {
      ...(options.seed === undefined ? {} : { seed: options.seed }),
      quick: options.quick === true,
      onProgress: progress(options.json),
      signal,
    });
    if (options.junit) writeFileSync(options.junit, junitReport(report));
    if (options.html) writeFileSync(options.html, htmlReport(report));
    print(options.json, jsonReport(report), () => tableReport(report));
    process.exitCode = isClean(report) ? 0 : 1;
  });
}

/** Never the stack that runs here: copies of what was named, or of the migrations. */
function runMutants(options: ProveCommandOptions): Promise<void> {
  return interruptible(async (signal) => {
    const report = await mutate({
      seed: options.seed ?? randomInt(2 ** 31),
      database: options.database,
      sessions: options.session,
      only: options.only,
      sample: options.sample,
      onProgress: progress(options.json),
      signal,
    });
    print(options.json, mutationJson(report), () => mutationTable(report));
    process.exitCode = survivorsOf(report).length === 0 ? 0 : 1;
  });
}

/** `prove`: attacks everything that the API exposes, and says what gave way. */
export function proveCommand(): Command {
  return withDatabaseOptions(
    new Command('prove').description('attack everything that the API exposes, from one throw-away tenant at another'),
  )
    .option('--postgrest <url>', 'PostgREST in front of the database (default: of the stack that runs here)')
    .option('--edge <url>', 'edge to attack as well (default: of the stack that runs here)')
    .option(
      '--session <url>',
      'a login whose direct sessions to attack; repeatable (default: of the stack that runs here)',
      collect,
      [],
    )
    .option('--seed <number>', 'repeat a run: the same seed asks the same', parseSeed)
    .option('--quick', 'fewer of each kind: for a look in between')
    .option('--junit <file>', 'write JUnit XML as well')
    .option('--html <file>', 'write one HTML page as well')
    .addOption(
      new Option(
        '--mutate',
        'prove the checks themselves: weaken each element of the wall in a copy, and see that it is noticed',
      ).conflicts(['postgrest', 'edge', 'quick', 'junit', 'html', 'allowAnyDatabase', 'stateDir']),
    )
    .option('--only <name>', 'with --mutate: elements or classes with this in their name')
    .option('--sample <number>', 'with --mutate: as many mutants as this, drawn by the seed', parseCount)
    .option('--allow-any-database', 'also work in a database that is not marked as disposable')
    .addHelpText('after', EXAMPLES)
    .action(async (options: ProveCommandOptions) => {
      try {
        await (options.mutate ? runMutants(options) : run(options));
      } catch (error) {
        reportFailure(error, options.json === true);
        process.exitCode = 2;
      }
    });
}
