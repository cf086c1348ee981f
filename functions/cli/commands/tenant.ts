import { Command } from 'commander';
import { type DatabaseOptions, inDatabase, withDatabaseOptions } from '../database.ts';
import { colours, print, table } from '../output.ts';

interface Tenant {
  id: string;
  slug: string;
  name: string;
  tier: string;
  region: string;
  status: string;
  created_at: Date;
}

interface CreateOptions extends DatabaseOptions {
  slug?: string;
  name?: string;
  owner: string;
  tier: string;
  region: string;
}

const COLUMNS = 'id, slug, name, tier, region, status, created_at';

function tenantTable(tenants: Tenant[]): string {
  const { green, yellow } = colours();
  const rows = tenants.map(({ id, slug, name, tier, region, status, created_at }) => [
    id,
    slug,
    name,
    tier,
    region,
    status === 'active' ? green(status) : yellow(status),
    created_at.toISOString().slice(0, 10),
  ]);
  return table(['id', 'slug', 'name', 'tier', 'region', 'status', 'created'], rows);
}

function createCommand(): Command {
  return withDatabaseOptions(
    new Command('create')
      .description('create a tenant with its first owner')
      .argument('<id>', 't_ and 1 to 47 of a-z, 0-9 and _')
      .requiredOption('--owner <subject>', "the first owner: the subject of that user's tokens")
      .option('--slug <slug>', 'name in addresses, a DNS label (default: the id without t_, with - for _)')
      .option('--name <name>', 'name for people (default: the slug)')
      .option('--tier <tier>', 'plan', 'standard')
      .option('--region <region>', 'where its data live', 'default'),
  )
    .addHelpText('after', "\nExample:\n  $ rowhouse tenant create t_acme --name 'Acme Corp' --owner ada")
    .action(async (id: string, options: CreateOptions) => {
      const slug = options.slug ?? id.replace(/^t_/, '').replaceAll('_', '-');
      const { rows } = await inDatabase(options, (client) =>
        client.query<Tenant>(`select ${COLUMNS} from tenancy.create_tenant($1, $2, $3, $4, $5, $6)`, [
          ...[id, slug, options.name ?? slug, options.owner, options.tier, options.region],
        ]),
      );
      print(
        options.json,
        rows[0],
        () => `${tenantTable(rows)}\nIts owner's token: rowhouse token --tenant ${id} --user ${options.owner}`,
      );
    });
}

function listCommand(): Command {
  return withDatabaseOptions(new Command('list').description('list all tenants, oldest first'))
    .addHelpText('after', '\nExample:\n  $ rowhouse tenant list --json')
    .action(async (options: DatabaseOptions) => {
      const { rows } = await inDatabase(options, (client) =>
        client.query<Tenant>(`select ${COLUMNS} from tenancy.tenants order by created_at, id`),
      );
      print(options.json, rows, () =>
        rows.length > 0 ? tenantTable(rows) : 'No tenants yet: rowhouse tenant create --help',
      );
    });
}

function statusCommand(name: 'suspend' | 'resume', description: string): Command {
  return withDatabaseOptions(new Command(name).description(description).argument('<id>', 'tenant'))
    .addHelpText('after', `\nExample:\n  $ rowhouse tenant ${name} t_acme`)
    .action(async (id: string, options: DatabaseOptions) => {
      const { rows } = await inDatabase(options, (client) =>
        client.query<Tenant>(`select ${COLUMNS} from tenancy.${name}_tenant($1)`, [id]),
      );
      print(options.json, rows[0], () => tenantTable(rows));
    });
}

/** `tenant create|list|suspend|resume`. */
export function tenantCommand(): Command {
  return new Command('tenant')
    .description('create, list, suspend and resume tenants')
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(statusCommand('suspend', 'refuse every request of a tenant, from the next one on'))
    .addCommand(statusCommand('resume', 'let a suspended tenant in again'))
    .addHelpText('after', '\nExample:\n  $ rowhouse tenant suspend t_acme');
}
