import { Command } from 'commander';
import { RowhouseError } from '../../../errors.ts';
import { type DatabaseOptions, withDatabaseOptions } from '../../database.ts';
import { print } from '../../output.ts';
import { inQueue } from './access.ts';

export function pauseCommand(name: 'pause' | 'resume', description: string): Command {
  return withDatabaseOptions(new Command(name).description(description).argument('<type>', 'type of job'))
    .addHelpText('after', `\nExample:\n  $ rowhouse queue ${name} csv.validate`)
    .action(async (type: string, options: DatabaseOptions) => {
      const [changed] = await inQueue(options, async (client) => {
        const sql = 'select type, paused_at from tenancy.set_job_type_pause($1, $2)';
        return (await client.query<{ type: string; paused_at: Date | null }>(sql, [type, name === 'pause'])).rows;
      }).catch((error: unknown) => {
        if (!(error instanceof RowhouseError) || error.code !== 'job_type_unknown') throw error;
        throw new RowhouseError('job_type_unknown', {
          detail: `no worker has registered ${type}`,
          hint: 'rowhouse queue status lists the types.',
          cause: error,
        });
      });
      print(options.json, changed, () =>
        name === 'pause'
          ? `${type} is paused: workers start no more of it within two seconds. Go on with: rowhouse queue resume ${type}`
          : `${type} is resumed.`,
      );
    });
}
