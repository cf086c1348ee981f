import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packageRoot } from '../../functions/paths.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { temporaryDirectory } from '../support/temporary.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack();
});

afterAll(() => stack?.stop());

interface Run {
  child: ChildProcess;
  ended: Promise<{ code: number | null; out: string; err: string }>;
}

function rowhouse(...args: string[]): Run {
  const child = spawn(process.execPath, [join(packageRoot, 'functions/cli/main.ts'), 'prove', ...args], {
    stdio: 'pipe',
  });
  const text = { out: '', err: '' };
  child.stdout.on('data', (chunk) => {
    text.out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    text.err += chunk;
  });
  return { child, ended: new Promise((resolve) => child.on('close', (code) => resolve({ code, ...text }))) };
}

const here = () => ['--database', stack.database.migrator, '--postgrest', stack.postgrest];

test('ends with 0 where nothing gave way, prints the figures as JSON, and writes JUnit and HTML', async () => {
  const directory = temporaryDirectory();
  const files = [join(directory, 'prove.xml'), join(directory, 'prove.html')] as const;
  const { code, out, err } = await rowhouse(
    ...here(),
    ...['--quick', '--json', '--seed', '7', '--junit', files[0], '--html', files[1]],
  ).ended;
  expect([code, err]).toEqual([0, '']);
  const report = JSON.parse(out);
  expect(report).toMatchObject({ findings: [], leaks: 0, uncovered: 0, seed: 7 });
  expect(report.probes).toBeGreaterThan(2000);
  expect(readFileSync(files[0], 'utf8')).toContain('failures="0"');
  expect(readFileSync(files[1], 'utf8')).toMatch(/^<!doctype html>/);
}, 120_000);

test('ends with 1 where something gave way, and says how to see it', async () => {
  await stack.migrator.query('create policy oops on app.files for select to tenant_user using (true)');
  try {
    const { code, out } = await rowhouse(...here(), '--quick', '--seed', '7').ended;
    expect(code).toBe(1);
    expect(out).toMatch(/^leak v1\.files · select · viewer/m);
    expect(out).toMatch(/^ {2}curl -i .*Bearer \$A_viewer"$/m);
    expect(out).toMatch(/ leaks, \d+ uncovered, [\d.]+ s\. Again: --seed 7$/m);
  } finally {
    await stack.migrator.query('drop policy oops on app.files');
  }
}, 120_000);

test('ends with 2 where it could not run', async () => {
  const { code, err } = await rowhouse(
    '--database',
    stack.database.migrator,
    '--postgrest',
    'http://127.0.0.1:1',
    '--json',
  ).ended;
  expect([code, JSON.parse(err).code]).toEqual([2, 'upstream_unavailable']);
  const usage = await rowhouse('--database', stack.database.migrator, '--json').ended;
  expect([usage.code, JSON.parse(usage.err).code]).toEqual([2, 'usage_invalid']);
});

test('leaves nothing behind when it is interrupted', async () => {
  const { child, ended } = rowhouse(...here());
  child.stderr?.once('data', () => child.kill('SIGINT'));
  const { code, err } = await ended;
  expect([code, err.includes('Interrupted')]).toEqual([2, true]);
  const { rows } = await stack.admin.query(`select id from tenancy.tenants where starts_with(id, 't_prove_')`);
  expect(rows).toEqual([]);
});
