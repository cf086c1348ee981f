import { setTimeout as delay } from 'node:timers/promises';
import pino from 'pino';
import { expect, test } from 'vitest';
import { createBucket } from '../../functions/edge/limits/bucket.ts';
import { createLeases } from '../../functions/edge/limits/leases.ts';
import type { BucketSource } from '../../functions/edge/limits/source.ts';

const bucket = (tenantId: string) => createBucket(tenantId, 'read', 10, 10);

test('leases are asked for again after an outage, also where one was asked for while another failed', async () => {
  let isUp = false;
  const source: BucketSource = {
    name: 'database',
    async lease(asks) {
      await delay(20);
      if (!isUp) throw new Error('away');
      return asks.map(() => ({ granted: 5, remaining: 5 }));
    },
    attend: async () => 1,
    close: async () => {},
  };
  const leases = createLeases([source], pino({ level: 'silent' }));
  const first = leases.ask(bucket('t_acme'), true);
  await delay(10);
  const second = leases.ask(bucket('t_globex'), true);
  await Promise.all([first, second]);
  expect(leases.alone()).toBe(true);

  isUp = true;
  await expect.poll(() => leases.alone(), { timeout: 5000 }).toBe(false);
  const later = bucket('t_initech');
  await Promise.race([leases.ask(later, true), delay(2000)]);
  expect(later.held).toBe(5);
  await leases.stop();
});
