import { z } from 'zod';
import { defineJob } from '../../../functions/job.ts';
import { besideEachOther } from './_beside.ts';

const run = besideEachOther();

export default defineJob({
  type: 'custom.crowd',
  description: 'Tells how many of it ran at once, of as many as the worker takes',
  input: z.strictObject({ ms: z.int() }),
  run: ({ ms }, { signal }) => run(ms, signal),
});
