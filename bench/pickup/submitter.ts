import { setTimeout as delay } from 'node:timers/promises';
import type { StackInfo } from '../../functions/stack/supervisor.ts';
import { openBenchTenant } from '../tenant.ts';

export interface Submitter {
  /** Submits one job, waits for its end. */
  submit(): Promise<{
    /** From the response with status 201 to `started_at`, by the database clock. */
    pickupMs: number;
    /** From `queued_at`, the begin of the submitting transaction, to `started_at`. */
    wholeMs: number;
  }>;
  close(): Promise<void>;
}

const CSV = 'id,name\n1,Ada\n2,Grace\n';

/** A tenant with a small file, whose jobs check it. */
export async function openSubmitter(info: StackInfo): Promise<Submitter> {
  const tenant = await openBenchTenant(info, 't_pickup');

  /** Database clock minus ours: the reading with the shortest round trip of several is off by at most half of it. */
  async function clockOffset(): Promise<number> {
    let best = { trip: Number.POSITIVE_INFINITY, offset: 0 };
    for (let reading = 0; reading < 20; reading += 1) {
      const before = performance.timeOrigin + performance.now();
      const { rows } = await tenant.pool.query<{ ms: number }>(
        `select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms`,
      );
      const after = performance.timeOrigin + performance.now();
      const offset = (rows[0]?.ms ?? Number.NaN) - (before + after) / 2;
      if (after - before < best.trip) best = { trip: after - before, offset };
    }
    return best.offset;
  }

  const fileId = await tenant.upload('people.csv', CSV.length, CSV);
  const columns = [
    { name: 'id', type: 'integer' },
    { name: 'name', type: 'string' },
  ];
  const job = { type: 'csv.validate', input: { file_id: fileId, columns } };

  return {
    async submit() {
      const offset = await clockOffset();
      const { body, answeredAt } = await tenant.call<{ id: string }[]>('POST', '/v1/jobs', job);
      const path = `/v1/jobs?id=eq.${body[0]?.id}&select=status,queued_at,started_at,error`;
      for (;;) {
        await delay(25);
        const [seen] = (await tenant.call<{ status: string; queued_at: string; started_at: string }[]>('GET', path))
          .body;
        if (seen?.status === 'failed') throw new Error(`the job failed: ${JSON.stringify(seen)}`);
        if (seen?.status !== 'succeeded') continue;
        const startedAt = milliseconds(seen.started_at);
        return { pickupMs: startedAt - (answeredAt + offset), wholeMs: startedAt - milliseconds(seen.queued_at) };
      }
    },
    close: tenant.close,
  };
}

/** Date.parse() drops the microseconds. */
function milliseconds(timestamp: string): number {
  const micros = /\.\d{3}(\d{1,3})/.exec(timestamp)?.[1] ?? '';
  return Date.parse(timestamp) + Number(micros.padEnd(3, '0')) / 1000;
}
