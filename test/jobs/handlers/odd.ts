import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { defineJob, JobFailure } from '../../../functions/job.ts';

export default defineJob({
  type: 'custom.odd',
  description: 'Does what no handler should',
  input: z.strictObject({ how: z.string(), job: z.string().optional() }),
  settings: { maxAttempts: 2, concurrency: 1, backoffSeconds: 1, maxBackoffSeconds: 1 },
  async run({ how, job }, { signal, reportProgress, transaction }) {
    const query = (sql: string) => transaction((client) => client.query(sql, [job]));
    switch (how) {
      case 'fails with a null':
        throw new JobFailure('odd_name', 'a\u0000b\ud83d');
      case 'fails with 4,000 control characters':
        throw new JobFailure('odd_name', '\u0001'.repeat(4000));
      case 'fails with half a character':
        throw new JobFailure('odd_name', `${'x'.repeat(3999)}😀`);
      case 'throws what is frozen':
        throw Object.freeze(new Error('a secret of the machine'));
      case 'throws nothing':
        throw undefined;
      case 'returns what is no JSON':
        return { count: 1n };
      case 'reports a null, and ends':
        await reportProgress({ 'rows\u0000': 1 });
        return { ended: true };
      case 'reports a null until it is told to stop':
        while (!signal.aborted) {
          await reportProgress({ 'rows\u0000': 1 });
          await delay(50);
        }
        return { ended: true };
      case 'asks for the lease of another job':
        await query('select app.require_lease($1, 1)');
        return { ended: true };
      case 'ends another job':
        await query(`update app.jobs set status = 'succeeded' where id = $1`);
        return { ended: true };
      case 'waits':
        await delay(6000, undefined, { signal });
        return { ended: true };
      default:
        return { ended: true };
    }
  },
});
