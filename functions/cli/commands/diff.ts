import { Command, Option } from 'commander';
import type { Finding, Level } from '../../diff/classify.ts';
import { diffPoints, type WallDiff } from '../../diff/diff.ts';
import { RowhouseError } from '../../errors.ts';
import { type DatabaseOptions, databaseUrl, withDatabaseOptions } from '../database.ts';
import { reportFailure } from '../failure.ts';
import { colours, print, progress } from '../output.ts';

interface DiffOptions extends DatabaseOptions {
  failOn: Exclude<Level, 'safe'>;
}

const COULD_NOT_RUN = 2;

const EXAMPLES = `
A and B: postgres://…, migration:<version>, migration:latest, migration:released (the last frozen one), or book.
Points of the migrations are built in scratch databases: on the server of --database (a superuser's URL), else DATABASE_URL, else
the stack that runs here, else on a temporary PostgreSQL. They are dropped afterwards.

Exit code: 0 nothing at the level of --fail-on, 1 something, 2 could not run.

Examples:
  $ rowhouse diff migration:released migration:latest
  $ rowhouse diff "$PRODUCTION_URL" book --fail-on review
  $ rowhouse diff migration:20261121044709 migration:latest --json`;

/** `diff`: every change to the wall between two states of the schema, judged. */
export function diffCommand(): Command {
  return withDatabaseOptions(
    new Command('diff').description(
      'compare the walls of two databases or points of the migrations, each change judged',
    ),
    'server for scratch databases, as a superuser',
  )
    .argument('<A>', 'what was')
    .argument('<B>', 'what is')
    .addOption(
      new Option('--fail-on <level>', 'exit with 1 at this level or above')
        .choices(['dangerous', 'review'])
        .default('dangerous'),
    )
    .addHelpText('after', EXAMPLES)
    .action(async (from: string, to: string, options: DiffOptions) => {
      try {
        const diff = await diffPoints(from, to, { server: scratchServer(options), onProgress: progress(options.json) });
        print(options.json, diff, () => tell(diff));
        if (diff.dangerous > 0 || (options.failOn === 'review' && diff.review > 0)) process.exitCode = 1;
      } catch (error) {
        reportFailure(error, options.json ?? false);
        process.exitCode = COULD_NOT_RUN;
      }
    });
}

/** Undefined where no server is named and no stack runs: that is no fault here. */
function scratchServer(options: DiffOptions): string | undefined {
  try {
    return databaseUrl(options, 'admin');
  } catch (error) {
    if (error instanceof RowhouseError && error.code === 'stack_missing' && options.stateDir === undefined)
      return undefined;
    throw error;
  }
}

function tell({ from, to, changes, dangerous, review, safe }: WallDiff): string {
  const { red, yellow, green, dim, bold } = colours();
  if (changes.length === 0) return `Nothing changed in the wall from ${from} to ${to}.`;
  const paint = { dangerous: (text: string) => red(bold(text)), review: yellow, safe: green };
  const line = ({ level, what, why }: Finding) => `${paint[level](level.padEnd(9))}  ${what}\n           ${dim(why)}`;
  const counts = `${dangerous} dangerous, ${review} to review, ${safe} safe`;
  return `${changes.map(line).join('\n')}\n${bold(`From ${from} to ${to}: ${counts}.`)}`;
}
