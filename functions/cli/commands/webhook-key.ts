import { Command } from 'commander';
import { type DatabaseOptions, inDatabase, withDatabaseOptions } from '../database.ts';
import { colours, print, table } from '../output.ts';

interface KeyUsage {
  key_id: string;
  registered_at: Date;
  newest: boolean;
  secrets: number;
}

function stateOf({ newest, secrets }: KeyUsage): string {
  const { green, yellow, dim } = colours();
  if (newest) return green('newest');
  return secrets > 0 ? yellow('needed') : dim('not needed any more');
}

function listCommand(): Command {
  return withDatabaseOptions(
    new Command('list').description('list the keys that workers have registered, and how many secrets need each'),
  )
    .addHelpText('after', '\nExample:\n  $ rowhouse webhook-key list')
    .action(async (options: DatabaseOptions) => {
      const { rows } = await inDatabase(options, (client) =>
        client.query<KeyUsage>('select key_id, registered_at, newest, secrets::int from webhook.key_usage()'),
      );
      print(options.json, rows, () =>
        rows.length > 0
          ? table(
              ['key', 'registered', 'secrets', 'state'],
              rows.map((key) => [key.key_id, key.registered_at.toISOString(), String(key.secrets), stateOf(key)]),
            )
          : 'No worker has registered a key yet. Start one that has WEBHOOK_PRIVATE_KEY: rowhouse webhook-key prints one.',
      );
    });
}

/** `webhook-key`: makes what WEBHOOK_PRIVATE_KEY takes. `webhook-key list`: which of them are in use. */
export function webhookKeyCommand(): Command {
  return new Command('webhook-key')
    .enablePositionalOptions()
    .description('make the key that workers open the secrets of webhook endpoints with')
    .option('--armor', 'as an armoured block of many lines, for a file')
    .option('--json', 'print JSON: the private key, the public key and its id')
    .addHelpText(
      'after',
      '\nExamples:\n  $ echo "WEBHOOK_PRIVATE_KEY=$(rowhouse webhook-key)" >> .env\n  $ rowhouse webhook-key --armor > webhook.asc\n  $ rowhouse webhook-key list',
    )
    .action(async (options: { armor?: boolean; json?: boolean }) => {
      const { createSecretOpener, generateKeyPair, keyLine } = await import(
        '../../worker/webhooks/outgoing/secrets.ts'
      );
      const { privateKey, publicKey } = await generateKeyPair();
      const { keyId } = await createSecretOpener(privateKey);
      const text = options.armor ? privateKey.trim() : await keyLine(privateKey);
      print(options.json, { key_id: keyId, private_key: text, public_key: publicKey }, () => text);
    })
    .addCommand(listCommand());
}
