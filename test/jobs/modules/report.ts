import { z } from 'zod';
import { defineJob } from '../../../functions/job.ts';

/** One figure, of so many bytes as JSON. */
const figureOf = (bytes: number) => ({ ['x'.repeat(bytes - '{"":1}'.length)]: 1 });

export default defineJob({
  type: 'custom.report',
  description: 'Reports progress of the sizes asked for, and tells which were refused',
  input: z.strictObject({ bytes: z.array(z.int().min(6)) }),
  async run({ bytes }, { reportProgress }) {
    const refused: number[] = [];
    for (const size of bytes) {
      await reportProgress(figureOf(size)).catch((error: unknown) => {
        if (!(error instanceof TypeError)) throw error;
        refused.push(size);
      });
    }
    return { refused };
  },
});
