import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from '../database.ts';
import { RowhouseError } from '../errors.ts';
import { redrivePurge } from '../worker/queue.ts';
import { openSession } from '../worker/session.ts';
import { type DeadLetterRow, removeDead } from './dead.ts';

/** `outdated`: the job was submitted again, moved or deleted since; the letter is gone now. `suspended`: it stays until it is resumed. */
export type Redriven = 'redriven' | 'outdated' | 'suspended';

/** The job is queued again, as its tenant's retry_job() would, and goes through the ledger; the letter goes in the same transaction. */
async function redriveJob(pool: Pool, letter: DeadLetterRow, job_id: string): Promise<Redriven> {
  const session = openSession(pool, letter.tenant_id, 'operator:redrive', letter.traceparent ?? undefined);
  try {
    return await session(async (client) => {
      const { rows } = await client.query<{ redriven: boolean }>('select app.redrive_job($1, $2) as redriven', [
        job_id,
        letter.submission,
      ]);
      await removeDead(client, letter.id);
      return rows[0]?.redriven ? 'redriven' : 'outdated';
    });
  } catch (error) {
    const code = error instanceof RowhouseError ? error.code : undefined;
    if (code === 'tenant_suspended') return 'suspended';
    if (code !== 'tenant_unknown') throw error;
    await pool.query(`delete from pgboss.job where name = 'job.dead' and id = $1`, [letter.id]);
    return 'outdated';
  }
}

/**
 * Redrives dead letters one after the other, no more than `rate` a second.
 * @param onResult is told of each as it is done, so that a run that is interrupted is known so far
 */
export async function redrive(
  { pool, connectionString }: { pool: Pool; connectionString: string },
  letters: readonly DeadLetterRow[],
  rate: number,
  onResult: (letter: DeadLetterRow, result: Redriven) => void,
): Promise<void> {
  const begun = performance.now();
  for (const [nth, letter] of letters.entries()) {
    const early = begun + (nth * 1000) / rate - performance.now();
    if (early > 0) await delay(early);
    if (letter.job_id !== null) onResult(letter, await redriveJob(pool, letter, letter.job_id));
    else onResult(letter, (await redrivePurge(connectionString, letter.id)) ? 'redriven' : 'outdated');
  }
}
