import { Command, Option } from 'commander';
import type { Finding } from '../../doctor/finding.ts';
import { writeFix } from '../../doctor/fix.ts';
import { githubReport, sarifReport } from '../../doctor/formats.ts';
import { readLints } from '../../doctor/lints.ts';
import { readLocations } from '../../doctor/locate.ts';
import { countLevels, humanReport } from '../../doctor/report.ts';
import { examine } from '../../doctor/run.ts';
import { acceptFindings, judge, readWaivers, WAIVERS_FILE, type Waived } from '../../doctor/waivers.ts';
import { type DatabaseOptions, inDatabase, withDatabaseOptions } from '../database.ts';
import { reportFailure } from '../failure.ts';
import { colours, print } from '../output.ts';

interface DoctorOptions extends DatabaseOptions {
  sarif?: boolean;
  github?: boolean;
  baseline?: string;
  accept?: string;
  fix?: boolean;
  strict?: boolean;
}

/** As with every linter: what is found is not a failure to run. */
const FOUND = 1;
const COULD_NOT_RUN = 2;

async function report(options: DoctorOptions, findings: Finding[], waived: Waived[]): Promise<void> {
  const lints = readLints();
  if (options.sarif) {
    process.stdout.write(`${JSON.stringify(sarifReport(findings, waived, lints, await readLocations()))}\n`);
  } else if (options.github) {
    process.stdout.write(githubReport(findings, await readLocations()));
  } else {
    const value = { findings, counts: countLevels(findings), waived, lints: lints.length };
    print(options.json, value, () => humanReport(findings, waived, lints.length));
  }
}

async function fix(options: DoctorOptions, findings: Finding[]): Promise<void> {
  const { file, fixed, left } = await writeFix(findings);
  const names = (some: Finding[]) => some.map(({ lint, object }) => ({ lint, object }));
  print(options.json, { file, fixed: names(fixed), left: names(left) }, () => {
    const { dim } = colours();
    const rest = left.map(({ lint, object, fix: by, remedy }) =>
      [
        `left to ${by === 'superuser' ? 'a superuser' : 'you'}: ${lint} ${object}`,
        ...(remedy ? [dim(`  ${remedy}`)] : []),
      ].join('\n'),
    );
    return [
      `db/migrations/${file}: ${fixed.length} of ${findings.length} findings.`,
      'Read it, change sql/ where it says otherwise, then: rowhouse migrate up',
      ...rest,
    ].join('\n');
  });
}

async function run(options: DoctorOptions): Promise<void> {
  const baseline = options.baseline ?? WAIVERS_FILE;
  const waivers = readWaivers(baseline, options.baseline !== undefined && options.accept === undefined);
  const examined = await inDatabase(options, async (client) => {
    await client.query('set transaction isolation level repeatable read, read only');
    return examine(client);
  });
  if (options.accept !== undefined) {
    const added = acceptFindings(baseline, examined.findings, options.accept);
    return print(options.json, { file: baseline, added }, () => `${baseline}: ${added} added, for 90 days.`);
  }
  const judged = judge(examined.findings, waivers);
  const { error, warning, info } = countLevels(judged.findings);
  if (error + warning + (options.strict ? info : 0) > 0) process.exitCode = FOUND;
  if (options.fix) return fix(options, judged.findings);
  await report(options, judged.findings, [...examined.waived, ...judged.waived]);
}

/** `doctor`. */
export function doctorCommand(): Command {
  return withDatabaseOptions(new Command('doctor').description('read the catalogue and say where the wall has a hole'))
    .addOption(
      new Option('--sarif', 'print SARIF 2.1.0, for code scanning').conflicts(['json', 'github', 'fix', 'accept']),
    )
    .addOption(new Option('--github', "print annotations for a workflow's log").conflicts(['json', 'fix', 'accept']))
    .option(
      '--baseline <file>',
      `findings that are accepted, each with a reason and an expiry (default: ${WAIVERS_FILE} if it is there)`,
    )
    .option('--accept <reason>', 'write what is found now into that file, for 90 days')
    .addOption(
      new Option('--fix', 'write the remedies into a migration; the database is not touched').conflicts('accept'),
    )
    .option('--strict', 'infos fail, too')
    .addHelpText(
      'after',
      "\nExit codes: 0 clean, 1 findings, 2 could not run. Every lint has a page in docs/lints.\n\nExamples:\n  $ rowhouse doctor\n  $ rowhouse doctor --database postgres://rowhouse_migrator:…@db.example/rowhouse --github\n  $ rowhouse doctor --accept 'before the move to v2'",
    )
    .action(async (options: DoctorOptions) => {
      try {
        await run(options);
      } catch (error) {
        reportFailure(error, options.json === true);
        process.exitCode = COULD_NOT_RUN;
      }
    });
}
