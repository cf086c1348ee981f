import { Command } from 'commander';
import { type DeadLetterRow, listDead } from '../../../queue/dead.ts';
import { parseCount } from '../../arguments.ts';
import { type DatabaseOptions, withDatabaseOptions } from '../../database.ts';
import { print, progress, table } from '../../output.ts';
import { inQueue } from './access.ts';

interface DeadOptions extends DatabaseOptions {
  type?: string;
  tenant?: string;
  limit: number;
}

export const withFilter = (command: Command): Command =>
  withDatabaseOptions(command.option('--type <type>', 'of this type').option('--tenant <id>', 'of this tenant'));

export const deadTable = (letters: DeadLetterRow[]): string =>
  table(
    ['job', 'tenant', 'type', 'last error', 'died', ''],
    letters.map(({ id, tenant_id, type, code, died_at, suspended }) => [
      id,
      tenant_id,
      type,
      code ?? 'died without a word',
      died_at.toISOString(),
      suspended ? 'suspended' : '',
    ]),
  );

export function deadCommand(): Command {
  return withFilter(
    new Command('dead')
      .description('list the dead letters, oldest first')
      .option('--limit <count>', 'at most so many', parseCount, 100),
  )
    .addHelpText('after', '\nExample:\n  $ rowhouse queue dead --type csv.validate --tenant t_acme')
    .action(async (options: DeadOptions) => {
      const letters = await inQueue(options, (client) => listDead(client, options, options.limit));
      print(options.json, letters, () => (letters.length > 0 ? deadTable(letters) : 'No dead letters.'));
      if (letters.length > 0)
        progress(options.json)(
          "Why: each attempt is in the workers' logs, by job_id. Again: rowhouse queue redrive <job>",
        );
    });
}
