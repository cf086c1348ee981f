import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import type pg from 'pg';
import { RowhouseError } from '../../errors.ts';
import { apply, choose } from '../../tune/apply.ts';
import type { Outcome } from '../../tune/build.ts';
import { clean, judge, prune } from '../../tune/prune.ts';
import { parseQuietHours, type QuietHours } from '../../tune/quiet-hours.ts';
import { outcomeReport, surveyJson, surveyReport, verdictReport } from '../../tune/report.ts';
import { tuning } from '../../tune/session.ts';
import { type Survey, survey } from '../../tune/survey.ts';
import { approved } from '../approval.ts';
import { parseCount } from '../arguments.ts';
import { atDatabase, type DatabaseOptions, withDatabaseOptions } from '../database.ts';
import { print, progress } from '../output.ts';
import { showTasks } from '../tasks.ts';

interface TuneOptions extends DatabaseOptions {
  share: number;
  requests?: string;
  apply?: boolean;
  prune?: boolean;
  only?: string[];
  at?: QuietHours;
  days: number;
  yes?: boolean;
}

const EXAMPLES = `
Reads statistics, so it connects as a superuser (which a running stack gives), or as a login with BYPASSRLS that is a member of
rowhouse_owner, authenticator, pg_read_all_data and pg_read_all_stats.
Exit codes: 0 done, 1 something was not built or not approved, 2 usage, 3 not reachable.

Examples:
  $ rowhouse tune
  $ rowhouse tune --requests lists.txt --json
  $ rowhouse tune --apply --only index-1f2e3d4c --at 02:00-05:00 --yes
  $ rowhouse tune --prune --days 30`;

function parseShare(text: string): number {
  const percent = Number(text.replace(/\s*%$/, ''));
  if (!(percent > 0 && percent <= 100)) throw new InvalidArgumentError('Write per cent, more than 0 and at most 100.');
  return percent / 100;
}

function parseAt(text: string): QuietHours {
  const hours = parseQuietHours(text);
  if (!hours) throw new InvalidArgumentError('Write two times of the day, such as 02:00-05:00.');
  return hours;
}

function readRequests(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (cause) {
    throw new RowhouseError('usage_invalid', { detail: `--requests ${file}: ${(cause as Error).message}`, cause });
  }
}

/** Told of an interruption, so that what is being built is taken back. A second one ends the process: the next run cleans up. */
async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interruption = new AbortController();
  const interrupt = () => interruption.abort();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.once(signal, interrupt);
  try {
    return await work(interruption.signal);
  } finally {
    for (const signal of signals) process.off(signal, interrupt);
  }
}

async function applyAll(client: pg.Client, url: string, found: Survey, options: TuneOptions): Promise<void> {
  const chosen = choose(found.served, options.only ?? []);
  if (chosen.length === 0) return print(options.json, { outcomes: [] }, () => surveyReport(found));
  if (!options.json) process.stderr.write(`${surveyReport(found)}\n`);
  const when = options.at ? 'in quiet hours' : 'now';
  if (!(await approved(options, `Build ${chosen.length} of these ${when}?`))) {
    process.exitCode = 1;
    return print(options.json, { outcomes: [] }, () => 'Nothing was changed.');
  }
  const say = progress(options.json);
  const titles = chosen.map(({ proposal }) => proposal.object);
  const tasks = process.stdout.isTTY && !options.json ? showTasks(titles) : undefined;
  const outcomes = await interruptible((signal) =>
    apply(client, chosen, {
      ...{ url, signal, onWait: say },
      ...(options.at ? { quiet: options.at } : {}),
      progress(served, message) {
        if (tasks) tasks.say(chosen.indexOf(served), message);
        else say(`${served.proposal.object}: ${message}`);
      },
    }),
  ).finally(() => tasks?.end());
  report(options, outcomes);
}

function report(options: TuneOptions, outcomes: Outcome[]): void {
  if (outcomes.some(({ outcome }) => outcome === 'failed' || outcome === 'late' || outcome === 'interrupted'))
    process.exitCode = 1;
  print(options.json, { outcomes }, () => outcomeReport(outcomes));
}

async function pruneAll(client: pg.Client, options: TuneOptions): Promise<void> {
  const verdicts = await judge(client, options.days, options.share);
  const goes = verdicts.filter(({ verdict }) => verdict !== 'keep');
  if (goes.length > 0) {
    if (!options.json) process.stderr.write(`${verdictReport(verdicts)}\n`);
    if (!(await approved(options, `Remove ${goes.length}?`))) {
      process.exitCode = 1;
      return print(options.json, { verdicts, removed: false }, () => 'Nothing was changed.');
    }
    await prune(client, verdicts, progress(options.json));
  }
  print(options.json, { verdicts, removed: goes.length > 0 }, () =>
    goes.length > 0
      ? `${goes.filter(({ verdict }) => verdict === 'remove').length} removed; of ${goes.filter(({ verdict }) => verdict === 'forget').length} only the record.`
      : verdictReport(verdicts),
  );
}

async function run(options: TuneOptions): Promise<void> {
  if (!options.apply && (options.only || options.at))
    throw new RowhouseError('usage_invalid', { detail: '--only and --at choose what to build.', hint: 'Add --apply.' });
  const say = progress(options.json);
  const work = async (url: string) =>
    tuning(url, async (client) => {
      if (options.prune) return pruneAll(client, options);
      if (options.apply) await clean(client, say);
      const requests = options.requests === undefined ? {} : { requests: readRequests(options.requests) };
      const found = await survey(client, { share: options.share, progress: say, ...requests });
      if (options.apply) return applyAll(client, url, found, options);
      print(options.json, surveyJson(found), () => surveyReport(found));
    });
  await atDatabase(options, work, 'admin');
}

/** `tune`: what large tenants need of their own. */
export function tuneCommand(): Command {
  return withDatabaseOptions(
    new Command('tune').description(
      'find tenants that are much larger than others, and build what they need: indexes, statistics, pools',
    ),
  )
    .addOption(
      new Option('--share <percent>', "share of a table's rows from which on a tenant is large")
        .argParser(parseShare)
        .default(0.05, '5'),
    )
    .option('--requests <file>', 'lists that clients ask for, one path a line, instead of pg_stat_statements')
    .addOption(new Option('--apply', 'build what is proposed, after asking').conflicts('prune'))
    .option('--only <id...>', 'with --apply: these alone')
    .option('--at <hours>', 'with --apply: within these hours of the day, by the clock of this machine', parseAt)
    .option('--prune', 'remove what was made and is not used, and what interrupted builds have left')
    .option('--days <days>', 'with --prune: how long something may be there unused', parseCount, 14)
    .option('--yes', 'build or remove without asking')
    .addHelpText('after', EXAMPLES)
    .action(run);
}
