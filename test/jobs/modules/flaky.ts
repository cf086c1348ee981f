import { z } from 'zod';
import { defineJob } from '../../../functions/job.ts';

export default defineJob({
  type: 'custom.flaky',
  description: 'Fails until the attempt that it is told',
  input: z.strictObject({ until_attempt: z.int() }),
  settings: { maxAttempts: 1 },
  async run({ until_attempt }, { attempt }) {
    if (attempt < until_attempt) throw new Error('not yet');
    return { attempt };
  },
});
