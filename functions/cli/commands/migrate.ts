import { Command } from 'commander';
import { checkMigrations } from '../../migrate/check.ts';
import { migrateDown, migrateStatus, migrateUp } from '../../migrate/dbmate.ts';
import { migrationsDir } from '../../migrate/files.ts';
import { freezeMigrations } from '../../migrate/freeze.ts';
import { newMigration } from '../../migrate/new.ts';
import { parseCount } from '../arguments.ts';
import { atDatabase, type DatabaseOptions, withDatabaseOptions } from '../database.ts';
import { colours, print, progress, table } from '../output.ts';

interface NewOptions {
  empty?: boolean;
  split?: boolean;
  json?: boolean;
}

function upCommand(): Command {
  return withDatabaseOptions(new Command('up').description('apply every migration that the database does not have yet'))
    .addHelpText(
      'after',
      '\nExample:\n  $ rowhouse migrate up --database postgres://rowhouse_migrator:…@db.example:5432/rowhouse',
    )
    .action(async (options: DatabaseOptions) => {
      const applied = await atDatabase(options, (url) => migrateUp(url, { onProgress: progress(options.json) }));
      print(options.json, { applied }, () => (applied.length > 0 ? `${applied.length} applied.` : 'Nothing to apply.'));
    });
}

function downCommand(): Command {
  return withDatabaseOptions(
    new Command('down')
      .description('take back the last migrations: for a deploy that failed, and for development')
      .option('--steps <n>', 'how many', parseCount, 1),
  )
    .addHelpText('after', '\nExample:\n  $ rowhouse migrate down --steps 2')
    .action(async (options: DatabaseOptions & { steps: number }) => {
      const undone = await atDatabase(options, (url) =>
        migrateDown(url, { steps: options.steps, onProgress: progress(options.json) }),
      );
      print(options.json, { undone }, () =>
        undone.length > 0 ? `${undone.length} taken back.` : 'Nothing to take back.',
      );
    });
}

function statusCommand(): Command {
  return withDatabaseOptions(new Command('status').description('list migrations, and whether the database has them'))
    .addHelpText('after', '\nExample:\n  $ rowhouse migrate status --json')
    .action(async (options: DatabaseOptions) => {
      const migrations = await atDatabase(options, (url) => migrateStatus(url));
      const { green, yellow, red } = colours();
      print(options.json, migrations, () => {
        const rows = migrations.map(({ version, file, applied }) => [
          version,
          file ?? red('(no such file here)'),
          applied ? green('applied') : yellow('pending'),
        ]);
        return rows.length > 0
          ? table(['version', 'file', 'status'], rows)
          : 'No migrations yet: rowhouse migrate new --help';
      });
    });
}

function newCommand(): Command {
  return new Command('new')
    .description('compose a migration from what changed in sql/ since the last one')
    .argument('<name>', 'what it does, in a few words')
    .option('--empty', 'write an empty one instead')
    .option('--split', 'the first migrations: one for each chapter of sql/')
    .option('--json', 'print the result, and an error, as JSON')
    .addHelpText(
      'after',
      "\nExamples:\n  $ rowhouse migrate new 'add invoices'\n  $ rowhouse migrate new backfill_names --empty",
    )
    .action(async (name: string, options: NewOptions) => {
      const written = await newMigration(name, { empty: options.empty === true, split: options.split === true });
      const steps = written.map(({ file, changes }) => ({
        file,
        changes: changes.map(({ step, key }) => ({ step, object: key })),
      }));
      print(options.json, steps, () => {
        if (steps.length === 0) return 'sql/ says what the migrations say: nothing to write.';
        const { yellow } = colours();
        const list = steps.map(({ file, changes }) => {
          const rows = changes.map(({ step, object }) => [step === 'hand' ? yellow(step) : step, object]);
          return `db/migrations/${file}${rows.length > 0 ? `\n${table(['step', 'object'], rows)}` : ''}`;
        });
        return `${list.join('\n\n')}\nRead both halves, replace the lines that start with "-- hand:", then: rowhouse migrate up`;
      });
    });
}

function checkCommand(): Command {
  return new Command('check')
    .description('check the migration files, without a database')
    .option('--json', 'print the result, and an error, as JSON')
    .addHelpText('after', '\nExample:\n  $ rowhouse migrate check')
    .action(async (options: { json?: boolean }) => {
      const files = await checkMigrations(migrationsDir);
      print(options.json, { files }, () => `${files.length} migrations are in order.`);
    });
}

function freezeCommand(): Command {
  return new Command('freeze')
    .description('freeze new migrations: from then on a change of the file is refused')
    .option('--json', 'print the result, and an error, as JSON')
    .addHelpText('after', '\nExample:\n  $ rowhouse migrate freeze')
    .action(async (options: { json?: boolean }) => {
      await checkMigrations(migrationsDir);
      const frozen = await freezeMigrations(migrationsDir);
      print(options.json, { frozen }, () =>
        frozen.length > 0 ? `${frozen.length} frozen.` : 'All are frozen already.',
      );
    });
}

/** `migrate up|down|status|new|check|freeze`. */
export function migrateCommand(): Command {
  return new Command('migrate')
    .description('change the schema, and write how')
    .addCommand(upCommand())
    .addCommand(downCommand())
    .addCommand(statusCommand())
    .addCommand(newCommand())
    .addCommand(checkCommand())
    .addCommand(freezeCommand())
    .addHelpText('after', '\nExample:\n  $ rowhouse migrate status');
}
