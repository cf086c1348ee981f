import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packageRoot } from '../../functions/paths.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  await stack.createTenant('t_acme');
});

afterAll(() => stack?.stop());

/** `rowhouse pool … --json` on the test's database: exit code, and what it printed. */
function pool(...args: string[]): Promise<[code: number, printed: unknown]> {
  const command = [join(packageRoot, 'functions/cli/main.ts'), 'pool', ...args, '--json'];
  const env = { ...process.env, DATABASE_URL: stack.database.migrator };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, command, { env }, (_error, stdout, stderr) => {
      resolve([child.exitCode ?? -1, JSON.parse(stdout || stderr)]);
    });
  });
}

test('adds, changes, lists and removes pools', async () => {
  expect(await pool('list')).toEqual([0, []]);
  const large = { name: 'large', kind: 'dedicated', url: 'http://10.0.0.7:3000', connections: 64, enabled: true };
  const added = { ...large, tenants: ['t_acme'], tiers: ['enterprise'] };
  expect(await pool('add', 'large', large.url, '--tenant', 't_acme', '--tier', 'enterprise')).toEqual([0, added]);
  const changed = { ...added, url: 'unix:/run/postgrest.sock', connections: 8 };
  expect(await pool('add', 'large', changed.url, '--connections', '8')).toEqual([0, changed]);
  expect(await pool('list')).toEqual([0, [changed]]);
  expect(await pool('remove', 'large')).toEqual([0, { name: 'large', status: 'removed' }]);
  expect(await pool('list')).toEqual([0, []]);
});

test.each([
  ['a name that no pool can have', ['add', 'Large!', 'http://a:1'], 'a pool is called 1 to 40 of a-z, 0-9 and -'],
  ['a URL with a path', ['add', 'a', 'http://a:1/rest'], 'nothing behind it'],
  ['a URL with a password', ['add', 'a', 'http://me:secret@a:1'], 'nothing behind it'],
  ['too many connections', ['add', 'a', 'http://a:1', '--connections', '1025'], '1 to 1024 connections'],
  ['an unknown kind', ['add', 'a', 'http://a:1', '--kind', 'fast'], 'shared, dedicated, replica'],
  ['an unknown tenant', ['add', 'a', 'http://a:1', '--tenant', 't_nobody'], 'there is no such tenant'],
  ['an unknown tier', ['add', 'a', 'http://a:1', '--tier', 'gold'], 'no tier is called gold'],
  ['the removal of a pool that is not there', ['remove', 'none'], 'no pool is called none'],
])('refuses %s', async (_what, args, detail) => {
  const refused = { code: 'usage_invalid', detail: expect.stringContaining(detail) };
  expect(await pool(...args)).toMatchObject([2, refused]);
  expect((await stack.admin.query('select from tenancy.pools')).rowCount).toBe(0);
});
