import { Command } from 'commander';
import { type QueueStatus, readStatus } from '../../../queue/status.ts';
import { type DatabaseOptions, withDatabaseOptions } from '../../database.ts';
import { colours, print, table } from '../../output.ts';
import { inQueue } from './access.ts';

function age(seconds: number | null): string {
  if (seconds === null) return '';
  if (seconds < 120) return `${Math.max(0, Math.round(seconds))} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** What keeps a type's jobs from being started. */
function trouble({ workers, waiting, delayed, paused_at }: QueueStatus): string {
  const { red, yellow } = colours();
  const unheard = workers === 0 && waiting + delayed > 0 ? red('no worker runs it') : '';
  return [unheard, paused_at ? yellow(`paused since ${paused_at.toISOString()}`) : ''].filter(Boolean).join(', ');
}

function statusTable(queues: QueueStatus[]): string {
  const { red } = colours();
  return table(
    ['type', 'workers', 'waiting', 'delayed', 'active', 'dead', 'oldest', 'status', 'most waiting'],
    queues.map((queue) => [
      queue.type,
      String(queue.workers),
      String(queue.waiting),
      String(queue.delayed),
      String(queue.active),
      queue.dead > 0 ? red(String(queue.dead)) : '0',
      age(queue.oldest_seconds),
      trouble(queue),
      queue.tenants.map(({ tenant_id, waiting }) => `${tenant_id} ${waiting}`).join(', '),
    ]),
  );
}

export function statusCommand(): Command {
  return withDatabaseOptions(new Command('status').description('what waits, runs and has died, by type of job'))
    .addHelpText('after', '\nExample:\n  $ rowhouse queue status --json')
    .action(async (options: DatabaseOptions) => {
      const queues = await inQueue(options, readStatus);
      print(options.json, queues, () => statusTable(queues));
    });
}
