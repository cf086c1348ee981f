import { setTimeout as delay } from 'node:timers/promises';
import { createPool } from '../../functions/database.ts';
import type { StackInfo } from '../../functions/stack/supervisor.ts';

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
export async function openSubmitter({ edge, database }: StackInfo): Promise<Submitter> {
  const pool = createPool(database.migrator, 'bench', 2);
  await pool.query(`select tenancy.create_tenant('t_pickup', 'pickup', 'Pickup', 'bench')`);
  const { rows } = await pool.query<{ token: string }>(
    `select auth.issue_token('t_pickup', 'bench', 'owner') as token`,
  );
  const headers = {
    authorization: `Bearer ${rows[0]?.token}`,
    'content-type': 'application/json',
    prefer: 'return=representation',
  };

  async function call<T>(method: string, url: string, body?: unknown): Promise<{ body: T; answeredAt: number }> {
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    const response = await fetch(url, { method, headers, ...init });
    const answeredAt = performance.timeOrigin + performance.now();
    if (!response.ok) throw new Error(`${method} ${url} answered ${response.status}: ${await response.text()}`);
    return { body: (await response.json()) as T, answeredAt };
  }

  /** Database clock minus ours: the reading with the shortest round trip of several is off by at most half of it. */
  async function clockOffset(): Promise<number> {
    let best = { trip: Number.POSITIVE_INFINITY, offset: 0 };
    for (let reading = 0; reading < 20; reading += 1) {
      const before = performance.timeOrigin + performance.now();
      const { rows } = await pool.query<{ ms: number }>(
        `select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms`,
      );
      const after = performance.timeOrigin + performance.now();
      const offset = (rows[0]?.ms ?? Number.NaN) - (before + after) / 2;
      if (after - before < best.trip) best = { trip: after - before, offset };
    }
    return best.offset;
  }

  const announced = await call<{ file: { id: string }; upload: { url: string; headers: Record<string, string> } }>(
    'POST',
    `${edge}/storage/v1/uploads`,
    { name: 'people.csv', content_type: 'text/csv', size: CSV.length },
  );
  const { file, upload } = announced.body;
  const put = await fetch(upload.url, { method: 'PUT', headers: upload.headers, body: CSV });
  if (!put.ok) throw new Error(`the upload answered ${put.status}: ${await put.text()}`);

  const columns = [
    { name: 'id', type: 'integer' },
    { name: 'name', type: 'string' },
  ];
  const job = { type: 'csv.validate', input: { file_id: file.id, columns } };

  return {
    async submit() {
      const offset = await clockOffset();
      const { body, answeredAt } = await call<{ id: string }[]>('POST', `${edge}/v1/jobs`, job);
      const url = `${edge}/v1/jobs?id=eq.${body[0]?.id}&select=status,queued_at,started_at,error`;
      for (;;) {
        await delay(25);
        const [seen] = (await call<{ status: string; queued_at: string; started_at: string }[]>('GET', url)).body;
        if (seen?.status === 'failed') throw new Error(`the job failed: ${JSON.stringify(seen)}`);
        if (seen?.status !== 'succeeded') continue;
        const startedAt = milliseconds(seen.started_at);
        return { pickupMs: startedAt - (answeredAt + offset), wholeMs: startedAt - milliseconds(seen.queued_at) };
      }
    },
    close: () => pool.end(),
  };
}

/** Date.parse() drops the microseconds. */
function milliseconds(timestamp: string): number {
  const micros = /\.\d{3}(\d{1,3})/.exec(timestamp)?.[1] ?? '';
  return Date.parse(timestamp) + Number(micros.padEnd(3, '0')) / 1000;
}
