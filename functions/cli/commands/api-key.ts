import { Command, InvalidArgumentError, Option } from 'commander';
import type { Client } from 'pg';
import { parseDuration } from '../arguments.ts';
import { type DatabaseOptions, inDatabase, withDatabaseOptions } from '../database.ts';
import { colours, print, table } from '../output.ts';

interface ApiKey {
  id: string;
  name: string;
  scopes: string[];
  tenant_role: string;
  allowed_networks: string[] | null;
  expires_at: Date | null;
  revoked_at: Date | null;
  last_used_at: Date | null;
}

interface TenantOptions extends DatabaseOptions {
  tenant: string;
}

interface CreateOptions extends TenantOptions {
  user: string;
  name: string;
  scopes: string[];
  role?: string;
  ttl?: number;
  network?: string[];
}

function parseScopes(text: string): string[] {
  const scopes = [...new Set(['read', ...text.split(',')])];
  if (scopes.every((scope) => ['read', 'write', 'admin'].includes(scope))) return scopes;
  throw new InvalidArgumentError('Write read, write and admin, with commas between.');
}

const withTenant = (command: Command) =>
  withDatabaseOptions(command.requiredOption('--tenant <id>', 'tenant that the key is of'));

const withUser = (command: Command) =>
  withTenant(command).requiredOption('--user <subject>', 'admin or owner of the tenant in whose name this is done');

/** Seals the transaction for a member, whose role the gate looks up. The token does not leave the database. */
async function enterAs(client: Client, tenant: string, user: string): Promise<void> {
  await client.query(`select auth.enter(auth.issue_token($1, $2, 'owner', '1 minute'))`, [tenant, user]);
}

function createCommand(): Command {
  return withUser(
    new Command('create')
      .description('make an API key, and print it this once')
      .requiredOption('--name <name>', 'what uses it')
      .addOption(new Option('--scopes <list>', 'read, write, admin').argParser(parseScopes).default(['read'], 'read'))
      .option('--role <role>', 'the most that it may do: viewer, member or admin (default: what its scopes need)')
      .addOption(
        new Option('--ttl <duration>', 'how long it lives, such as 90d (default: forever)').argParser(parseDuration),
      )
      .option('--network <cidr...>', 'networks that it may be used from (default: any)'),
  )
    .addHelpText(
      'after',
      '\nExample:\n  $ rowhouse api-key create --tenant t_acme --user ada --name importer --scopes read,write --ttl 90d --network 10.0.0.0/8',
    )
    .action(async (options: CreateOptions) => {
      const made = await inDatabase(options, async (client) => {
        await enterAs(client, options.tenant, options.user);
        const { rows } = await client.query<{ made: ApiKey & { key: string } }>(
          'select v1.create_api_key($1, $2, $3, now() + make_interval(secs => $4), $5) as made',
          [options.name, options.scopes, options.role ?? null, options.ttl ?? null, options.network ?? null],
        );
        return rows[0]?.made;
      });
      print(options.json, made, () => made?.key ?? '');
    });
}

function statusOf({ revoked_at, expires_at }: ApiKey): string {
  const { green, dim } = colours();
  if (revoked_at) return dim('revoked');
  return expires_at && expires_at <= new Date() ? dim('expired') : green('good');
}

function listCommand(): Command {
  return withTenant(
    new Command('list').description("list a tenant's API keys, newest first; their secrets are not stored"),
  )
    .addHelpText('after', '\nExample:\n  $ rowhouse api-key list --tenant t_acme')
    .action(async (options: TenantOptions) => {
      const { rows } = await inDatabase(options, (client) =>
        client.query<ApiKey>('select * from auth.list_api_keys($1)', [options.tenant]),
      );
      print(options.json, rows, () =>
        table(
          ['id', 'name', 'status', 'scopes', 'role', 'networks', 'expires', 'last used'],
          rows.map((key) => [
            key.id,
            key.name,
            statusOf(key),
            key.scopes.join(' '),
            key.tenant_role,
            // node-postgres knows no cidr[]: it comes as text.
            String(key.allowed_networks ?? 'any').replaceAll(/[{}]/g, ''),
            key.expires_at?.toISOString() ?? 'never',
            key.last_used_at?.toISOString() ?? 'never',
          ]),
        ),
      );
    });
}

function revokeCommand(): Command {
  return withUser(
    new Command('revoke')
      .description('refuse an API key, and every token made from it, from the next request on')
      .argument('<id>', 'key, as rowhouse api-key list shows it'),
  )
    .addHelpText('after', '\nExample:\n  $ rowhouse api-key revoke 5f1c2a9b0c3d4e5f --tenant t_acme --user ada')
    .action(async (id: string, options: TenantOptions & { user: string }) => {
      await inDatabase(options, async (client) => {
        await enterAs(client, options.tenant, options.user);
        await client.query('select v1.revoke_api_key($1)', [id]);
      });
      print(options.json, { id, revoked: true }, () => `${id} is revoked.`);
    });
}

/** `api-key create|list|revoke`. */
export function apiKeyCommand(): Command {
  return new Command('api-key')
    .description('create, list and revoke what programs of a tenant come in with')
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(revokeCommand())
    .addHelpText('after', '\nExample:\n  $ rowhouse api-key list --tenant t_acme');
}
