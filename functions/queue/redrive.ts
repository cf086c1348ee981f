import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from '../database.ts';
import { RowhouseError } from '../errors.ts';
import { redrivePurge } from '../worker/queue.ts';
import { openSession } from '../worker/session.ts';
import type { DeadLetterRow } from './dead.ts';

/** `outdated`: the job was submitted again or deleted since it was listed. `suspended`: it stays until its tenant is resumed. */
export type Redriven = 'redriven' | 'outdated' | 'suspended';

/** Inside its tenant's walls, so that the ledger says who it was, and of which trace; the operators' API calls the same function. */
async function redriveJob(pool: Pool, letter: DeadLetterRow, job_id: string): Promise<Redriven> {
  const session = openSession(pool, letter.tenant_id, 'operator:redrive', letter.traceparent ?? undefined);
  try {
    const redriven = await session((client) => client.query('select from ledger.redrive_jobs(ids => $1)', [[job_id]]));
    return redriven.rowCount === 1 ? 'redriven' : 'outdated';
  } catch (error) {
    const code = error instanceof RowhouseError ? error.code : undefined;
    if (code === 'tenant_suspended') return 'suspended';
    if (code !== 'tenant_unknown') throw error;
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
