import { Command, Option } from 'commander';
import { RowhouseError } from '../../errors.ts';
import { countHandedOver, replayToEndpoint, rewind } from '../../events/replay.ts';
import { approved } from '../approval.ts';
import { parseId, parsePosition } from '../arguments.ts';
import { type DatabaseOptions, inDatabase, withDatabaseOptions } from '../database.ts';
import { print } from '../output.ts';

interface Replaying extends DatabaseOptions {
  consumer?: string;
  endpoint?: string;
  tenant?: string;
  from: string;
  to?: string;
  dryRun?: boolean;
  yes?: boolean;
}

const counted = (events: number) => (events === 1 ? '1 event' : `${events} events`);

const NOWHERE = '9223372036854775807';

async function replayConsumer(consumer: string, options: Replaying): Promise<void> {
  if (options.to !== undefined || options.tenant !== undefined) {
    throw new RowhouseError('usage_invalid', {
      detail: '--to and --tenant go with --endpoint',
      hint: 'A consumer is handed everything from --from on, of every tenant.',
    });
  }
  const after = String(BigInt(options.from) - 1n);
  const rewinding = await inDatabase(options, (client) => countHandedOver(client, consumer, after));
  const entries = rewinding.entries === 1 ? '1 entry' : `${rewinding.entries} entries`;
  const dry = options.dryRun || !(await approved(options, `Hand ${entries} to ${consumer} again?`));
  if (!dry) await inDatabase(options, (client) => rewind(client, rewinding));
  print(options.json, { ...rewinding, dry_run: dry }, () =>
    dry
      ? `${consumer} would be handed ${entries} again. Nothing was done.`
      : `${consumer} is handed ${entries} again. Watch it: rowhouse events lag`,
  );
}

async function replayEndpoint(endpoint: string, options: Replaying): Promise<void> {
  const { tenant, from } = options;
  if (tenant === undefined) {
    throw new RowhouseError('usage_invalid', { detail: '--endpoint needs --tenant', hint: 'Whose endpoint is it?' });
  }
  const replay = { tenant, endpoint, from, to: options.to ?? NOWHERE };
  const ask = (dryRun: boolean) =>
    inDatabase(options, (client) => replayToEndpoint(client, replay, dryRun)).catch((error: unknown) => {
      if (!(error instanceof RowhouseError) || error.code !== 'webhook_endpoint_unknown') throw error;
      throw new RowhouseError('webhook_endpoint_unknown', {
        detail: `${tenant} has no webhook endpoint ${endpoint}`,
        hint: 'Its admins list theirs with GET /v1/webhook_endpoints?select=id,url',
        cause: error,
      });
    });
  let deliveries = await ask(true);
  const dry = options.dryRun || !(await approved(options, `Deliver ${counted(deliveries)} to ${endpoint} again?`));
  if (!dry) deliveries = await ask(false);
  print(options.json, { tenant, endpoint, deliveries, dry_run: dry }, () =>
    dry
      ? `${counted(deliveries)} would be delivered again. Nothing was done.`
      : `${counted(deliveries)} will be delivered again, at the endpoint's rate.`,
  );
}

/** `events replay`. */
export function replayCommand(): Command {
  return withDatabaseOptions(
    new Command('replay')
      .description('hand events over once more: to a webhook endpoint, or entries to a consumer of the ledger')
      .addOption(
        new Option(
          '--consumer <name>',
          'such as jobs: it knows what it was handed before, and lacks what it lost',
        ).conflicts('endpoint'),
      )
      .addOption(
        new Option('--endpoint <id>', 'a webhook endpoint: it gets the events of its types again').argParser(parseId),
      )
      .option('--tenant <id>', 'whose endpoint it is')
      .addOption(new Option('--from <position>', 'the first event').argParser(parsePosition).makeOptionMandatory())
      .addOption(new Option('--to <position>', 'the last event (default: the newest)').argParser(parsePosition)),
  )
    .option('--dry-run', 'say how many, and do nothing')
    .option('--yes', 'do it without asking')
    .addHelpText(
      'after',
      '\nExamples:\n  $ rowhouse events replay --endpoint 0199f3c1-7c1e-7000-8000-5a0c7f1d2e3b --tenant t_acme --from evt_100 --to evt_200 --dry-run\n  $ rowhouse events replay --consumer jobs --from 4711 --yes',
    )
    .action(async (options: Replaying) => {
      if (options.endpoint !== undefined) return replayEndpoint(options.endpoint, options);
      if (options.consumer !== undefined) return replayConsumer(options.consumer, options);
      throw new RowhouseError('usage_invalid', {
        detail: 'neither --endpoint nor --consumer was given',
        hint: 'rowhouse events replay --help',
      });
    });
}
