import { Command, Option } from 'commander';
import { RowhouseError } from '../../errors.ts';
import { parseCount } from '../arguments.ts';
import { type DatabaseOptions, inDatabase, withDatabaseOptions } from '../database.ts';
import { colours, print, table } from '../output.ts';

interface PoolRow {
  name: string;
  kind: string;
  url: string;
  connections: number;
  enabled: boolean;
  tenants: string[];
  tiers: string[];
}

interface AddOptions extends DatabaseOptions {
  kind: string;
  connections: number;
  tenant?: string;
  tier?: string;
}

const LIST = `select name, kind, url, connections, enabled,
    array(select tenant_id::text from tenancy.tenant_settings as s where s.pool = p.name order by tenant_id limit 20) as tenants,
    array(select tier from tenancy.plans where plans.pool = p.name order by tier) as tiers
  from tenancy.pools as p`;

function poolTable(pools: PoolRow[]): string {
  const { green, yellow } = colours();
  const rows = pools.map(({ name, kind, url, connections, enabled, tenants, tiers }) => [
    name,
    kind,
    url,
    String(connections),
    enabled ? green('enabled') : yellow('disabled'),
    [...tiers.map((tier) => `tier ${tier}`), ...tenants].join(', '),
  ]);
  return table(['name', 'kind', 'url', 'connections', 'status', 'assigned'], rows);
}

function listCommand(): Command {
  return withDatabaseOptions(new Command('list').description('list the pools, and who is assigned to them'))
    .addHelpText('after', '\nExample:\n  $ rowhouse pool list --json')
    .action(async (options: DatabaseOptions) => {
      const { rows } = await inDatabase(options, (client) => client.query<PoolRow>(`${LIST} order by name`));
      print(options.json, rows, () =>
        rows.length > 0 ? poolTable(rows) : 'No pools: edges forward to their POSTGREST_URL. rowhouse pool add --help',
      );
    });
}

function addCommand(): Command {
  return withDatabaseOptions(
    new Command('add')
      .description('add a pool, or change one; edges follow within half a second')
      .argument('<name>', 'a-z, 0-9 and -')
      .argument('<url>', 'http://host:port of a PostgREST, or unix:/path of its socket')
      .addOption(
        new Option('--kind <kind>', 'whom it serves').choices(['shared', 'dedicated', 'replica']).default('dedicated'),
      )
      .option('--connections <count>', 'connections that one edge opens to it', parseCount, 64)
      .option('--tenant <id>', 'assign this tenant to it')
      .option('--tier <tier>', 'assign every tenant of this tier to it'),
  )
    .addHelpText('after', '\nExample:\n  $ rowhouse pool add large http://10.0.0.7:3000 --tenant t_acme')
    .action(async (name: string, url: string, options: AddOptions) => {
      const { rows } = await inDatabase(options, async (client) => {
        await client
          .query(
            `insert into tenancy.pools (name, url, kind, connections) values ($1, $2, $3, $4)
             on conflict (name) do update set url = $2, kind = $3, connections = $4, enabled = true`,
            [name, url, options.kind, options.connections],
          )
          .catch(explainCheck);
        if (options.tenant !== undefined) {
          await client
            .query(
              `insert into tenancy.tenant_settings (tenant_id, pool) values ($1, $2)
             on conflict (tenant_id) do update set pool = excluded.pool`,
              [options.tenant, name],
            )
            .catch(explainCheck);
        }
        if (options.tier !== undefined) {
          const { rowCount } = await client.query('update tenancy.plans set pool = $2 where tier = $1', [
            options.tier,
            name,
          ]);
          if (rowCount === 0) throw new RowhouseError('usage_invalid', { detail: `no tier is called ${options.tier}` });
        }
        return client.query<PoolRow>(`${LIST} where name = $1`, [name]);
      });
      print(options.json, rows[0], () => poolTable(rows));
    });
}

/** Says which argument the database has refused. */
function explainCheck(error: Error & { constraint?: string }): never {
  const details: Record<string, string> = {
    pools_name_form: 'a pool is called 1 to 40 of a-z, 0-9 and -',
    pools_url_form: 'the URL is http://host:port, https://host:port or unix:/path, with nothing behind it',
    pools_connections_range: '1 to 1024 connections',
    tenant_settings_tenant_fkey: 'there is no such tenant',
    tenant_id_form: 'there is no such tenant',
  };
  const detail = details[error.constraint ?? ''];
  throw detail ? new RowhouseError('usage_invalid', { detail, cause: error }) : error;
}

function removeCommand(): Command {
  return withDatabaseOptions(
    new Command('remove')
      .description(
        'take a pool out; what it is at, it finishes, and the shared pools serve those who were assigned to it',
      )
      .argument('<name>', 'pool, as rowhouse pool list shows it'),
  )
    .addHelpText('after', '\nExample:\n  $ rowhouse pool remove large')
    .action(async (name: string, options: DatabaseOptions) => {
      const { rowCount } = await inDatabase(options, (client) =>
        client.query('delete from tenancy.pools where name = $1', [name]),
      );
      if (rowCount === 0) {
        throw new RowhouseError('usage_invalid', { detail: `no pool is called ${name}`, hint: 'rowhouse pool list' });
      }
      print(options.json, { name, status: 'removed' }, () => `${name} is removed.`);
    });
}

/** `pool list|add|remove`. */
export function poolCommand(): Command {
  return new Command('pool')
    .description('list, add and remove the PostgRESTs that edges forward to')
    .addCommand(listCommand())
    .addCommand(addCommand())
    .addCommand(removeCommand())
    .addHelpText('after', '\nExample:\n  $ rowhouse pool add large http://10.0.0.7:3000 --tenant t_acme');
}
