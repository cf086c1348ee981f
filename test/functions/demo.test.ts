import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packageRoot } from '../../functions/paths.ts';
import { seedDemoTenants } from '../../functions/stack/install.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { temporaryDirectory } from '../support/temporary.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack({ edge: true, worker: true });
  await seedDemoTenants(stack.database.migrator);
});

afterAll(() => stack?.stop());

const demo = (...options: string[]) =>
  promisify(execFile)(process.execPath, [join(packageRoot, 'functions/cli/main.ts'), 'demo', ...options]);

test('the demo validates two public files as one tenant, and shows nothing of them to the other', async () => {
  const stateDirectory = temporaryDirectory();
  const { edge, postgrest, database } = stack;
  writeFileSync(join(stateDirectory, 'stack.json'), JSON.stringify({ edge, postgrest, database }));
  const { stdout } = await demo('--state-dir', stateDirectory, '--json');
  const { ok, files } = JSON.parse(stdout);
  expect(ok).toBe(true);
  expect(files.map(({ file, result }: { file: string; result: { rows: number } }) => [file, result.rows])).toEqual([
    ['airports.csv', 3376],
    ['zipcodes.csv', 42049],
  ]);
  for (const { other_tenant } of files) {
    expect(other_tenant.map(({ answer }: { answer: string }) => answer)).toEqual([
      '200 []',
      '200 []',
      '200 []',
      '404 file_not_found',
      '404 file_not_found',
      '404 file_not_found',
      '404 job_not_found',
    ]);
  }
});

test('the demo says what to do where no stack runs, and exits with 3', async () => {
  const nowhere = temporaryDirectory();
  await expect(demo('--state-dir', nowhere)).rejects.toMatchObject({
    code: 3,
    stderr: `error stack_missing: no stack runs in ${nowhere}\n  Start it in another terminal: npm start   or name another with --state-dir.\n`,
  });
});
