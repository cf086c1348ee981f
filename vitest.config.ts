import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/order.ts';
import { quicken } from './test/support/quick.ts';

quicken();

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/cluster.ts'],
    pool: 'forks',
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    // What hangs is found all the same; what is late on a busy machine is not taken for it.
    testTimeout: 120_000,
    hookTimeout: 180_000,
  },
});
