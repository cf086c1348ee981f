import { Command } from 'commander';
import { createPool } from '../../../database.ts';
import { RowhouseError } from '../../../errors.ts';
import { type DeadFilter, type DeadLetterRow, listDead } from '../../../queue/dead.ts';
import { type Redriven, redrive } from '../../../queue/redrive.ts';
import { parseCount } from '../../arguments.ts';
import type { DatabaseOptions } from '../../database.ts';
import { print, progress } from '../../output.ts';
import { inQueue } from './access.ts';
import { deadTable, withFilter } from './dead.ts';

interface RedriveOptions extends DatabaseOptions {
  type?: string;
  tenant?: string;
  all?: boolean;
  dryRun?: boolean;
  limit?: number;
  rate: number;
}

function filterOf(ids: string[], { type, tenant, all }: RedriveOptions): DeadFilter {
  const narrowed = ids.length > 0 || type !== undefined || tenant !== undefined;
  if (narrowed !== Boolean(all)) return { ids: ids.length > 0 ? ids : undefined, type, tenant };
  throw new RowhouseError('usage_invalid', {
    detail: narrowed ? '--all is every dead letter; leave it out to name some' : 'nothing says which dead letters',
    hint: 'Name jobs, --type, --tenant, or --all.',
  });
}

/** @throws RowhouseError job_not_found where an id is of no dead letter */
function requireAll(ids: string[], found: DeadLetterRow[]): void {
  const known = new Set(found.map(({ id }) => id));
  const unknown = ids.filter((id) => !known.has(id.toLowerCase()));
  if (unknown.length === 0) return;
  throw new RowhouseError('job_not_found', {
    detail: `no dead letter of ${unknown.join(', ')}; nothing was redriven`,
    hint: "rowhouse queue dead lists them. A job that failed without dying is its tenant's to retry: retry_job.",
  });
}

function printDry(options: RedriveOptions, letters: DeadLetterRow[]): void {
  const listed = letters.length > 0 ? `${deadTable(letters)}\n` : '';
  print(options.json, letters, () => `${listed}${letters.length} would be redriven.`);
}

export function redriveCommand(): Command {
  return withFilter(
    new Command('redrive')
      .description('queue the jobs of dead letters again, as their tenants could with retry_job')
      .argument('[job...]', 'jobs, as rowhouse queue dead shows them')
      .option('--all', 'every dead letter')
      .option('--limit <count>', 'at most so many, the oldest first', parseCount)
      .option('--dry-run', 'show what would be redriven, and change nothing')
      .option('--rate <count>', 'at most so many a second', parseCount, 20),
  )
    .addHelpText('after', '\nExample:\n  $ rowhouse queue redrive --type csv.validate --rate 5 --dry-run')
    .action(async (ids: string[], options: RedriveOptions) => {
      const filter = filterOf(ids, options);
      const say = progress(options.json);
      const counts = { redriven: 0, outdated: 0, suspended: 0 } satisfies Record<Redriven, number>;
      const letters = await inQueue(options, async (client, connectionString) => {
        const all = await listDead(client, filter, null);
        requireAll(ids, all);
        const ready = all.filter(({ suspended }) => !suspended);
        counts.suspended = all.length - ready.length;
        const found = ready.slice(0, options.limit);
        if (options.dryRun) return found;
        let done = 0;
        const pool = createPool(connectionString, 'rowhouse-cli', 1);
        try {
          await redrive({ pool, connectionString }, found, options.rate, (_, result) => {
            counts[result] += 1;
            done += 1;
            if (done % options.rate === 0) say(`${done} of ${found.length}`);
          });
        } finally {
          await pool.end();
        }
        return found;
      });
      if (options.dryRun) {
        printDry(options, letters);
        return;
      }
      const outdated = counts.outdated > 0 ? ` ${counts.outdated} were retried or deleted meanwhile.` : '';
      const suspended = counts.suspended > 0 ? ` ${counts.suspended} stay: their tenants are suspended.` : '';
      print(options.json, counts, () => `${counts.redriven} redriven.${outdated}${suspended}`);
    });
}
