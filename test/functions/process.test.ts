import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { programEnvironment } from '../../functions/environment.ts';
import { packageRoot } from '../../functions/paths.ts';

test.each(['edge', 'worker'])('the %s does not start with a wrong environment, and names each variable', (name) => {
  const { status, stdout } = spawnSync(process.execPath, [join(packageRoot, 'functions', name, 'main.ts')], {
    env: programEnvironment({
      EDGE_DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
      WORKER_DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
      STORAGE_SECRET: 'a secret that is long enough for signing',
      STORAGE_MAX_BYTES: '-1',
      LOG_LEVEL: 'loud',
    }),
    encoding: 'utf8',
  });
  expect(status).toBe(1);
  const { msg, err } = JSON.parse(stdout);
  expect([msg, err.code]).toEqual([`${name} cannot start`, 'config_invalid']);
  expect(err.detail).toMatch(/LOG_LEVEL: .*"warn"/);
  expect(err.detail).toContain('STORAGE_MAX_BYTES: ');
});
