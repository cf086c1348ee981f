import { Command, Option } from 'commander';
import { connected } from '../../database.ts';
import { byConsumer, isHeldBack, readLag, type SlotLag } from '../../events/lag.ts';
import { type TenantEvent, tailEvents } from '../../events/tail.ts';
import { collectEventTypes, parseCount, parsePosition } from '../arguments.ts';
import { atDatabase, type DatabaseOptions, withDatabaseOptions } from '../database.ts';
import { colours, print, progress, table } from '../output.ts';
import { replayCommand } from './events-replay.ts';

const seconds = (value: number | null) => (value === null ? '' : `${value.toFixed(1)} s`);

function holder({ held_back_by, prepared, held_back_seconds, held_back_application }: Partial<SlotLag>): string {
  const age = held_back_seconds == null ? '' : `, a transaction of ${seconds(held_back_seconds)}`;
  if (prepared != null) return `prepared transaction '${prepared}'${age}: COMMIT PREPARED or ROLLBACK PREPARED`;
  return `process ${held_back_by}${held_back_application ? ` (${held_back_application})` : ''}${age}`;
}

function lagCommand(): Command {
  return withDatabaseOptions(
    new Command('lag').description('how far each consumer of the ledger is behind, and what holds it back'),
  )
    .option('--slots', 'each of its 16 slots by itself')
    .addHelpText('after', '\nExamples:\n  $ rowhouse events lag\n  $ rowhouse events lag --slots --json')
    .action(async (options: DatabaseOptions & { slots?: boolean }) => {
      // How old another's transaction is, PostgreSQL tells a superuser.
      const slots = await atDatabase(options, (url) => connected(url, readLag), 'admin');
      const { green, yellow } = colours();
      const count = (entries: number) => (entries === 0 ? green('0') : yellow(String(entries)));
      if (options.slots) {
        print(options.json, slots, () =>
          table(
            ['consumer', 'slot', 'position', 'entries behind', 'for', 'held back by'],
            slots.map((slot) => [
              slot.consumer,
              String(slot.slot),
              slot.position,
              count(slot.entries_behind),
              seconds(slot.seconds_behind),
              isHeldBack(slot) ? holder(slot) : '',
            ]),
          ),
        );
        return;
      }
      const consumers = byConsumer(slots);
      print(options.json, consumers, () =>
        table(
          ['consumer', 'entries behind', 'for', 'held back by'],
          consumers.map(({ consumer, entries_behind, seconds_behind, held_back_by }) => [
            consumer,
            count(entries_behind),
            seconds(seconds_behind),
            held_back_by.map(holder).join('; '),
          ]),
        ),
      );
    });
}

interface Tailing extends DatabaseOptions {
  tenant: string;
  type: string[];
  after?: string;
  last: number;
  once?: boolean;
}

function line({ position, type, subject, time, actor, event }: TenantEvent): string {
  const { dim, cyan } = colours();
  const { changed } = (event.data ?? {}) as { changed?: string[] };
  const what = event.dataschema && changed ? changed.join(', ') : '';
  return [dim(time.toISOString()), position, cyan(type), subject ?? '-', actor ?? '-', dim(what)].join('  ').trimEnd();
}

function tailCommand(): Command {
  return withDatabaseOptions(
    new Command('tail')
      .description('print the events of a tenant, and those that come until you stop it')
      .requiredOption('--tenant <id>', 'whose events')
      .addOption(
        new Option('--type <pattern...>', 'only these types; * stands for any characters')
          .argParser(collectEventTypes)
          .default([], 'all'),
      )
      .addOption(new Option('--after <position>', 'everything after this event').argParser(parsePosition))
      .addOption(
        new Option('--last <count>', 'without --after: begin with the last few').argParser(parseCount).default(10),
      ),
  )
    .option('--once', 'end with the last one that there is')
    .addHelpText(
      'after',
      "\nWith --json, each line is a CloudEvent.\n\nExamples:\n  $ rowhouse events tail --tenant t_acme\n  $ rowhouse events tail --tenant t_acme --type 'app.jobs.*' --after evt_4711 --once --json",
    )
    .action(async (options: Tailing) => {
      const stopping = new AbortController();
      const stop = () => stopping.abort();
      process.once('SIGINT', stop).once('SIGTERM', stop);
      await atDatabase(options, (url) =>
        connected(url, async (client) => {
          const tailing = { ...options, types: options.type, once: options.once ?? false, signal: stopping.signal };
          let printed = 0;
          for await (const event of tailEvents(client, tailing)) {
            print(options.json, event.event, () => line(event));
            printed += 1;
          }
          if (printed === 0 && options.once) progress(options.json)('No such events.');
        }),
      );
    });
}

/** `events lag|tail|replay`. */
export function eventsCommand(): Command {
  return new Command('events')
    .description('follow events, see who is behind, and hand them over again')
    .addCommand(lagCommand())
    .addCommand(tailCommand())
    .addCommand(replayCommand())
    .addHelpText('after', '\nExample:\n  $ rowhouse events lag');
}
