import { Command, Option } from 'commander';
import { RowhouseError } from '../../errors.ts';
import { type DatabaseOptions, inDatabase, withDatabaseOptions } from '../database.ts';
import { colours, print, table } from '../output.ts';

interface Issuer {
  issuer: string;
  subject_prefix: string;
  audiences: string[];
  algorithms: string[];
  jwks_uri: string | null;
  enabled: boolean;
}

interface AddOptions extends DatabaseOptions {
  prefix: string;
  audience: string[];
  algorithm: string[];
  jwksUri?: string;
}

const COLUMNS = 'issuer, subject_prefix, audiences, algorithms, jwks_uri, enabled';

function issuerTable(issuers: Issuer[]): string {
  const { green, yellow } = colours();
  return table(
    ['issuer', 'prefix', 'audiences', 'algorithms', 'keys', 'status'],
    issuers.map(({ issuer, subject_prefix, audiences, algorithms, jwks_uri, enabled }) => [
      issuer,
      subject_prefix,
      audiences.join(' '),
      algorithms.join(' '),
      jwks_uri ?? 'by discovery',
      enabled ? green('enabled') : yellow('disabled'),
    ]),
  );
}

function addCommand(): Command {
  return withDatabaseOptions(
    new Command('add')
      .description('trust an issuer: its tokens can be exchanged for ours, by members whose user_id is prefix and sub')
      .argument('<issuer>', 'its iss, to the letter: an https URL')
      .requiredOption('--prefix <prefix>', 'what its subjects are called here, such as okta:')
      .requiredOption('--audience <audience...>', 'one of them has to be in aud')
      .addOption(
        new Option('--algorithm <name...>', 'what it signs with')
          .choices(['RS256', 'ES256', 'EdDSA'])
          .default(['RS256', 'ES256', 'EdDSA']),
      )
      .option('--jwks-uri <url>', 'where its keys are (default: by OpenID Connect Discovery)'),
  )
    .addHelpText(
      'after',
      '\nExample:\n  $ rowhouse issuer add https://acme.okta.com --prefix okta: --audience https://api.example.com',
    )
    .action(async (issuer: string, options: AddOptions) => {
      const { rows } = await inDatabase(options, (client) =>
        client.query<Issuer>(
          `insert into auth.issuers (issuer, subject_prefix, audiences, algorithms, jwks_uri) values ($1, $2, $3, $4, $5)
           returning ${COLUMNS}`,
          [issuer, options.prefix, options.audience, options.algorithm, options.jwksUri ?? null],
        ),
      ).catch((error: Error & { code?: string; constraint?: string }) => {
        if (!/^23/.test(error.code ?? '')) throw error;
        throw new RowhouseError('usage_invalid', {
          detail: `${error.constraint} does not hold`,
          hint: 'issuer and keys: URLs; prefix: a-z, 0-9 and -, then a colon, not another issuer’s and not key:',
          cause: error,
        });
      });
      print(options.json, rows[0], () => issuerTable(rows));
    });
}

function listCommand(): Command {
  return withDatabaseOptions(new Command('list').description('list the issuers whose tokens can be exchanged'))
    .addHelpText('after', '\nExample:\n  $ rowhouse issuer list')
    .action(async (options: DatabaseOptions) => {
      const { rows } = await inDatabase(options, (client) =>
        client.query<Issuer>(`select ${COLUMNS} from auth.issuers order by issuer`),
      );
      print(options.json, rows, () =>
        rows.length > 0 ? issuerTable(rows) : 'No issuers yet: rowhouse issuer add --help',
      );
    });
}

function enabledCommand(name: 'enable' | 'disable', description: string): Command {
  return withDatabaseOptions(new Command(name).description(description).argument('<issuer>', 'its iss'))
    .addHelpText('after', `\nExample:\n  $ rowhouse issuer ${name} https://acme.okta.com`)
    .action(async (issuer: string, options: DatabaseOptions) => {
      const { rows } = await inDatabase(options, (client) =>
        client.query<Issuer>(`update auth.issuers set enabled = $2 where issuer = $1 returning ${COLUMNS}`, [
          issuer,
          name === 'enable',
        ]),
      );
      if (rows.length === 0) {
        throw new RowhouseError('usage_invalid', {
          detail: `no issuer ${issuer}`,
          hint: 'List them: rowhouse issuer list',
        });
      }
      print(options.json, rows[0], () => issuerTable(rows));
    });
}

/** `issuer add|list|enable|disable`. */
export function issuerCommand(): Command {
  return new Command('issuer')
    .description('say whose tokens can be exchanged for ours')
    .addCommand(addCommand())
    .addCommand(listCommand())
    .addCommand(enabledCommand('enable', 'trust an issuer again'))
    .addCommand(enabledCommand('disable', 'exchange no token of an issuer, and refresh no session that it began'))
    .addHelpText('after', '\nExample:\n  $ rowhouse issuer list');
}
