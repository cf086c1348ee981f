import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { defineJob } from '../../../functions/job.ts';

export default defineJob({
  type: 'custom.patience',
  description: 'Waits for its signal, and heeds it or not',
  input: z.strictObject({ heeds: z.boolean() }),
  settings: { maxAttempts: 2, timeoutSeconds: 2, concurrency: 1 },
  async run({ heeds }, { signal, log, attempt }) {
    signal.addEventListener('abort', () => log.info({ reason: String(signal.reason) }, 'signal seen'), { once: true });
    await delay(60_000, undefined, heeds ? { signal } : {});
    return { attempt };
  },
});
