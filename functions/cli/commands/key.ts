import { Command } from 'commander';
import { type DatabaseOptions, inDatabase, withDatabaseOptions } from '../database.ts';
import { colours, print, table } from '../output.ts';

interface SigningKey {
  kid: string;
  status: 'active' | 'accepted' | 'retired';
  created_at: Date;
  retired_at: Date | null;
}

function listCommand(): Command {
  return withDatabaseOptions(
    new Command('list').description('list signing keys, newest first; secrets never leave the database'),
  )
    .addHelpText('after', '\nExample:\n  $ rowhouse key list')
    .action(async (options: DatabaseOptions) => {
      const { rows } = await inDatabase(options, (client) =>
        client.query<SigningKey>('select kid, status, created_at, retired_at from auth.list_signing_keys()'),
      );
      const { green, dim } = colours();
      const paint = { active: green, accepted: String, retired: dim };
      print(options.json, rows, () =>
        table(
          ['kid', 'status', 'created', 'retired'],
          rows.map((key) => [
            key.kid,
            paint[key.status](key.status),
            key.created_at.toISOString(),
            key.retired_at?.toISOString() ?? '',
          ]),
        ),
      );
    });
}

function rotateCommand(): Command {
  return withDatabaseOptions(
    new Command('rotate').description('sign with a new key; tokens of the one before stay good'),
  )
    .addHelpText('after', '\nExample:\n  $ rowhouse key rotate')
    .action(async (options: DatabaseOptions) => {
      const { rows } = await inDatabase(options, (client) =>
        client.query<{ kid: string }>('select auth.rotate_signing_key() as kid'),
      );
      const kid = rows[0]?.kid;
      print(options.json, { kid, status: 'active' }, () => {
        return `${kid} signs from now on. When the older tokens have expired: rowhouse key retire <kid>`;
      });
    });
}

function retireCommand(): Command {
  return withDatabaseOptions(
    new Command('retire')
      .description('refuse every token that a key signed, from the next request on')
      .argument('<kid>', 'key, as rowhouse key list shows it'),
  )
    .addHelpText('after', '\nExample:\n  $ rowhouse key retire 5f1c2a9b0c3d4e5f6a')
    .action(async (kid: string, options: DatabaseOptions) => {
      await inDatabase(options, (client) => client.query('select auth.retire_signing_key($1)', [kid]));
      print(options.json, { kid, status: 'retired' }, () => `${kid} is retired.`);
    });
}

/** `key list|rotate|retire`. */
export function keyCommand(): Command {
  return new Command('key')
    .description('list, rotate and retire the keys that sign tokens')
    .addCommand(listCommand())
    .addCommand(rotateCommand())
    .addCommand(retireCommand())
    .addHelpText('after', '\nExample:\n  $ rowhouse key rotate');
}
