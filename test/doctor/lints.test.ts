import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lintsDir, readLints } from '../../functions/doctor/lints.ts';
import { examine } from '../../functions/doctor/run.ts';
import { readExceptions } from '../../functions/doctor/waivers.ts';
import { packageRoot } from '../../functions/paths.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

const lints = readLints();
const casesDir = join(packageRoot, 'test/doctor/lints');
let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
});

afterAll(() => stack?.stop());

/** `-- expects: object` lines, then what makes exactly those findings, then what repairs it. */
function readCase(lint: string) {
  const [, head = '', flaw = '', fixed = ''] =
    /^((?:-- expects: .*\n)+)-- flaw\n([\s\S]+)\n-- fixed\n([\s\S]+)$/.exec(
      readFileSync(join(casesDir, `${lint}.sql`), 'utf8'),
    ) ?? [];
  return { expected: [...head.matchAll(/: (.*)/g)].map(([, object]) => `${lint} ${object}`).sort(), flaw, fixed };
}

/** What the doctor finds, as the role that it runs as. */
async function findings(client: PoolClient, some = lints) {
  await client.query('reset role; set local role rowhouse_owner');
  return (await examine(client, some)).findings;
}
const names = (found: { lint: string; object: string }[]) =>
  found.map(({ lint, object }) => `${lint} ${object}`).sort();

test('every lint has a query, a case and a page of the same name, and no other files are there', () => {
  const expected = lints.map(({ lint }) => lint);
  const files = (dir: string, ext: string) =>
    readdirSync(dir)
      .filter((file) => file !== 'README.md')
      .map((file) => (file.endsWith(ext) ? file.slice(0, -ext.length) : file))
      .sort();
  expect(expected.length).toBeGreaterThan(70);
  expect(new Set(lints.map(({ id }) => id)).size).toBe(expected.length);
  expect(files(lintsDir, '.sql')).toEqual(expected);
  expect(files(casesDir, '.sql')).toEqual(expected);
  expect(files(join(packageRoot, 'docs/lints'), '.md')).toEqual(expected);
  const list = readFileSync(join(packageRoot, 'docs/lints/README.md'), 'utf8');
  for (const { lint, level, title, docs } of lints) {
    const page = readFileSync(join(packageRoot, docs), 'utf8');
    expect(
      page.startsWith(`# ${lint.replace('_', ' ')}\n\n${title}. ${level[0]?.toUpperCase()}${level.slice(1)}.`),
      docs,
    ).toBe(true);
    for (const part of ['**What.**', '**Why.**', '**Example**', '**Remedy.**']) expect(page, docs).toContain(part);
    expect(list).toContain(`| [${lint}](${lint}.md) | ${level} | ${title} |`);
  }
});

test('the reference schema has no findings, and needs every exception that ships', async () => {
  const client = await stack.migrator.connect();
  try {
    const { findings: found, waived } = await examine(client, lints);
    expect(names(found)).toEqual([]);
    expect(names(waived)).toEqual(names(readExceptions()));
  } finally {
    client.release();
  }
});

describe('each lint', () => {
  test.each(lints)('$lint finds its flaw, and nothing once it is repaired', async (own) => {
    const { lint, fix } = own;
    const { expected, flaw, fixed } = readCase(lint);
    const client = await stack.admin.connect();
    try {
      await client.query(`begin; set local role rowhouse_owner; ${flaw}`);
      const found = await findings(client);
      expect(names(found)).toEqual(expected);

      // What is decided by hand is SQL all the same, and may not fit the data and dependencies of this case.
      if (fix !== 'hand') {
        await client.query('savepoint flawed');
        for (const { remedy } of found) {
          await client.query(fix === 'superuser' ? 'reset role' : 'set local role rowhouse_owner');
          await client.query(remedy);
        }
        expect(names(await findings(client, [own]))).toEqual([]);
        await client.query('rollback to flawed');
      }

      await client.query('set local role rowhouse_owner');
      await client.query(fixed);
      expect(names(await findings(client))).toEqual([]);
    } finally {
      await client.query('rollback');
      client.release();
    }
  });
});
