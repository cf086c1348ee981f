import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { prove } from '../../functions/prove/run.ts';
import type { ProveOptions } from '../../functions/prove/types.ts';
import { type StartedStack, startStack } from '../support/started-stack.ts';
import { ROLE_AND_SERVER_MISTAKES } from './mistakes/roles-and-server.ts';
import { brief } from './proving.ts';

// Mistakes with roles are all databases': they are made in a stack that is started for them.

const exploited = ROLE_AND_SERVER_MISTAKES.flatMap(({ name, plant, prove: caught }) =>
  'only' in caught && caught.where ? [{ name, plant, ...caught }] : [],
);
const directory = mkdtempSync(path.join(tmpdir(), 'rowhouse-'));
let stack: StartedStack;

beforeAll(async () => {
  stack = await startStack(directory);
});

afterAll(async () => {
  stack?.process.kill('SIGTERM');
  await stack?.ended;
  rmSync(directory, { recursive: true, force: true });
});

const asAdmin = (sql: string) => connected(stack.info.database.admin, (client) => client.query(sql));

function proved(only: ProveOptions['only'] & object) {
  const { migrator, authenticator, worker, edge } = stack.info.database;
  const target = {
    database: migrator,
    postgrest: stack.info.postgrest,
    sessions: [authenticator, worker, edge],
  };
  return prove(target, { seed: 7, quick: true, only });
}

test('the prover finds nothing with the logins’ passwords as they are', async () => {
  const report = await proved({ relations: ['v1.files', 'v1.members'], verbs: ['session'] });
  expect(brief(report.findings)).toEqual([]);
  expect(report.probes).toBeGreaterThan(50);
});

test.each(exploited)('the prover gets through where $name', async ({ plant, uproot, only, at }) => {
  await asAdmin(plant);
  onTestFinished(async () => {
    await asAdmin(uproot);
  });
  const report = await proved(only);
  const leak = report.findings.find((finding) => finding.kind === 'leak' && at.test(finding.at));
  expect(leak, brief(report.findings).join('\n') || 'nothing was found').toBeDefined();
  expect(leak?.curl).toMatch(/^psql -c /);
});
