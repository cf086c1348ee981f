import { z } from 'zod';
import { defineJob } from '../../../functions/job.ts';

/** By job: when each of its attempts began. */
const begun = new Map<string, number[]>();

export default defineJob({
  type: 'custom.backoff',
  description: 'Fails until the attempt that it is told, and tells when each began',
  input: z.strictObject({ until_attempt: z.int() }),
  settings: { backoffSeconds: 4, maxBackoffSeconds: 8 },
  async run({ until_attempt }, { jobId, attempt }) {
    const times = [...(begun.get(jobId) ?? []), Date.now()];
    begun.set(jobId, times);
    if (attempt < until_attempt) throw new Error('not yet');
    return { begun_at: times };
  },
});
