import { Command } from 'commander';
import type pg from 'pg';
import { connected, createPool } from '../../database.ts';
import { RowhouseError } from '../../errors.ts';
import { type DeadFilter, type DeadLetterRow, listDead } from '../../queue/dead.ts';
import { type Redriven, redrive } from '../../queue/redrive.ts';
import { type QueueStatus, readStatus } from '../../queue/status.ts';
import { parseCount } from '../arguments.ts';
import { atDatabase, type DatabaseOptions, withDatabaseOptions } from '../database.ts';
import { colours, print, progress, table } from '../output.ts';

const LOGIN_HINT = "the worker's login owns the queue: --database postgres://rowhouse_worker:…";

/** The queue's tables are the worker's own; without them no worker has run here yet. */
async function requireQueue(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ owned: boolean; made: boolean }>(
    `select has_schema_privilege('pgboss', 'usage') as owned,
       exists (select from pg_catalog.pg_class where relname = 'job' and relnamespace = to_regnamespace('pgboss')) as made`,
  );
  if (!rows[0]?.owned)
    throw new RowhouseError('permission_denied', { detail: 'this login may not see the queue', hint: LOGIN_HINT });
  if (!rows[0].made) {
    throw new RowhouseError('schema_missing', {
      detail: 'no worker has run here yet',
      hint: 'npm start   or start a worker',
    });
  }
}

function inQueue<T>(options: DatabaseOptions, work: (client: pg.Client, url: string) => Promise<T>): Promise<T> {
  const run = (url: string) =>
    connected(url, async (client) => {
      await requireQueue(client);
      return work(client, url);
    });
  return atDatabase(options, run, 'worker');
}

function age(seconds: number | null): string {
  if (seconds === null) return '';
  if (seconds < 120) return `${Math.max(0, Math.round(seconds))} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

function statusTable(queues: QueueStatus[]): string {
  const { red, yellow } = colours();
  return table(
    ['type', 'waiting', 'delayed', 'active', 'dead', 'oldest', 'status', 'most waiting'],
    queues.map(({ type, waiting, delayed, active, dead, oldest_seconds, paused_at, tenants }) => [
      type,
      String(waiting),
      String(delayed),
      String(active),
      dead > 0 ? red(String(dead)) : '0',
      age(oldest_seconds),
      paused_at ? yellow(`paused since ${paused_at.toISOString()}`) : '',
      tenants.map(({ tenant_id, waiting }) => `${tenant_id} ${waiting}`).join(', '),
    ]),
  );
}

function statusCommand(): Command {
  return withDatabaseOptions(new Command('status').description('what waits, runs and has died, by type of job'))
    .addHelpText('after', '\nExample:\n  $ rowhouse queue status --json')
    .action(async (options: DatabaseOptions) => {
      const queues = await inQueue(options, readStatus);
      print(options.json, queues, () => statusTable(queues));
    });
}

interface DeadOptions extends DatabaseOptions {
  type?: string;
  tenant?: string;
  limit: number;
}

const withFilter = (command: Command) =>
  withDatabaseOptions(command.option('--type <type>', 'of this type').option('--tenant <id>', 'of this tenant'));

const deadTable = (letters: DeadLetterRow[]) =>
  table(
    ['job', 'tenant', 'type', 'last error', 'died'],
    letters.map(({ id, job_id, tenant_id, type, code, died_at }) => [
      job_id ?? id,
      tenant_id,
      type,
      code ?? 'died without a word',
      died_at.toISOString(),
    ]),
  );

function deadCommand(): Command {
  return withFilter(
    new Command('dead')
      .description('list the dead letters, oldest first')
      .option('--limit <count>', 'at most so many', parseCount, 100),
  )
    .addHelpText('after', '\nExample:\n  $ rowhouse queue dead --type csv.validate --tenant t_acme')
    .action(async (options: DeadOptions) => {
      const letters = await inQueue(options, (client) => listDead(client, options, options.limit));
      print(options.json, letters, () => (letters.length > 0 ? deadTable(letters) : 'No dead letters.'));
      if (letters.length > 0)
        progress(options.json)(
          "Why: each attempt is in the workers' logs, by job_id. Again: rowhouse queue redrive <job>",
        );
    });
}

interface RedriveOptions extends DatabaseOptions {
  type?: string;
  tenant?: string;
  all?: boolean;
  dryRun?: boolean;
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
  const known = new Set(found.flatMap(({ id, job_id }) => [id, job_id]));
  const unknown = ids.filter((id) => !known.has(id));
  if (unknown.length === 0) return;
  throw new RowhouseError('job_not_found', {
    detail: `no dead letter of ${unknown.join(', ')}; nothing was redriven`,
    hint: "rowhouse queue dead lists them. A job that failed without dying is its tenant's to retry: retry_job.",
  });
}

function redriveCommand(): Command {
  return withFilter(
    new Command('redrive')
      .description('queue the jobs of dead letters again, as their tenants could with retry_job')
      .argument('[job...]', 'jobs, as rowhouse queue dead shows them')
      .option('--all', 'every dead letter')
      .option('--dry-run', 'show what would be redriven, and change nothing')
      .option('--rate <count>', 'at most so many a second', parseCount, 20),
  )
    .addHelpText('after', '\nExample:\n  $ rowhouse queue redrive --type csv.validate --rate 5 --dry-run')
    .action(async (ids: string[], options: RedriveOptions) => {
      const filter = filterOf(ids, options);
      const say = progress(options.json);
      const counts = { redriven: 0, outdated: 0, suspended: 0 } satisfies Record<Redriven, number>;
      const letters = await inQueue(options, async (client, connectionString) => {
        const found = await listDead(client, filter, null);
        requireAll(ids, found);
        if (options.dryRun) return found;
        const pool = createPool(connectionString, 'rowhouse-cli', 1);
        try {
          await redrive({ pool, connectionString }, found, options.rate, (_, result) => {
            counts[result] += 1;
            const done = counts.redriven + counts.outdated + counts.suspended;
            if (done % options.rate === 0) say(`${done} of ${found.length}`);
          });
        } finally {
          await pool.end();
        }
        return found;
      });
      if (options.dryRun) {
        print(
          options.json,
          letters,
          () => `${letters.length > 0 ? `${deadTable(letters)}\n` : ''}${letters.length} would be redriven.`,
        );
        return;
      }
      const outdated = counts.outdated > 0 ? ` ${counts.outdated} were outdated and are removed.` : '';
      const suspended = counts.suspended > 0 ? ` ${counts.suspended} stay: their tenants are suspended.` : '';
      print(options.json, counts, () => `${counts.redriven} redriven.${outdated}${suspended}`);
    });
}

function pauseCommand(name: 'pause' | 'resume', description: string): Command {
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

/** `queue status|dead|redrive|pause|resume`. */
export function queueCommand(): Command {
  return new Command('queue')
    .description('what waits, runs and has died; try dead letters again; pause a type of job')
    .addCommand(statusCommand())
    .addCommand(deadCommand())
    .addCommand(redriveCommand())
    .addCommand(pauseCommand('pause', 'start no more jobs of a type, on any worker; they are accepted, and wait'))
    .addCommand(pauseCommand('resume', 'start jobs of a paused type again'))
    .addHelpText('after', '\nExample:\n  $ rowhouse queue redrive --tenant t_acme');
}
