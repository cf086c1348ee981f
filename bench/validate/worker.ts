import { openAsBlob, readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { ValidationResult } from '../../functions/csv/validate.ts';
import type { StackInfo } from '../../functions/stack/supervisor.ts';
import { openBenchTenant } from '../tenant.ts';
import { COLUMNS } from './data.ts';

interface Job {
  id: string;
  status: string;
  result: ValidationResult;
  error: unknown;
  started_at: string;
  finished_at: string;
}

/** Uploads the file once, and validates it with the stack's real worker, by its pid, as often as asked. */
export async function openValidator(info: StackInfo, worker: number, path: string) {
  const tenant = await openBenchTenant(info, 't_validate');
  const fileId = await tenant.upload('orders.csv', (await stat(path)).size, await openAsBlob(path));

  return {
    /** Seconds by the database clock, from `started_at` to `finished_at`. */
    async validate(): Promise<{ seconds: number; result: ValidationResult }> {
      const job = { type: 'csv.validate', input: { file_id: fileId, columns: COLUMNS } };
      const { body } = await tenant.call<Job[]>('POST', '/v1/jobs', job);
      for (;;) {
        await delay(50);
        const [seen] = (await tenant.call<Job[]>('GET', `/v1/jobs?id=eq.${body[0]?.id}`)).body;
        if (seen?.status === 'failed') throw new Error(`the job failed: ${JSON.stringify(seen.error)}`);
        if (seen?.status !== 'succeeded') continue;
        const seconds = (Date.parse(seen.finished_at) - Date.parse(seen.started_at)) / 1000;
        return { seconds, result: seen.result };
      }
    },
    /** The most memory that the worker process has held at once, in MB: VmHWM of Linux. */
    peakRss(): number {
      const status = readFileSync(`/proc/${worker}/status`, 'utf8');
      return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
    },
    close: tenant.close,
  };
}
