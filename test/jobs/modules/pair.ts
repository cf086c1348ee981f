import { z } from 'zod';
import { defineJob } from '../../../functions/job.ts';
import { besideEachOther } from './_beside.ts';

const run = besideEachOther();

export default defineJob({
  type: 'custom.pair',
  description: 'Tells how many of it ran at once, of two at the most',
  input: z.strictObject({ ms: z.int() }),
  settings: { concurrency: 2 },
  run: ({ ms }, { signal }) => run(ms, signal),
});
