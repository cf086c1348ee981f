import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { HINTS } from '../../functions/edge/hints.ts';
import { faultOf } from '../../functions/edge/problem.ts';
import { ERRORS } from '../../functions/errors.ts';
import { packageRoot } from '../../functions/paths.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
});

afterAll(() => stack?.stop());

const known = Object.entries(ERRORS).map(([code, [status]]) => [code, status] as const);

test('docs/errors.md lists every code with its status, and no other', () => {
  const table = readFileSync(join(packageRoot, 'docs/errors.md'), 'utf8').matchAll(/^\| `(\w+)` \| (\d+) \| \S/gm);
  const documented = [...table].map(([, code, status]) => [code, Number(status)]);
  expect(documented.toSorted()).toEqual(known.toSorted());
});

test('docs/errors.md says what to do next in the words of the hint', () => {
  const lines = readFileSync(join(packageRoot, 'docs/errors.md'), 'utf8').split('\n');
  const advice = (code: string) => lines.find((line) => line.startsWith(`| \`${code}\` |`))?.split(' | ')[3] ?? '';
  const plain = (text: string) => text.replaceAll(/`|\[([^\]]*)\]\([^)]*\)/g, '$1');
  const hints = Object.entries(HINTS);
  expect(hints.length).toBeGreaterThan(30);
  expect(hints.filter(([code, hint]) => !plain(advice(code)).includes(hint))).toEqual([]);
});

test('SQL and TypeScript give a code the same status and title', async () => {
  const { rows } = await stack.migrator.query('select code, status, title from request.error_codes');
  expect(rows.length).toBeGreaterThan(10);
  expect(rows.map((row) => [row.code, [row.status, row.title]])).toEqual(
    rows.map((row) => [row.code, [...(ERRORS[row.code as keyof typeof ERRORS] ?? [])]]),
  );
});

test('SQL raises every code of its list, and no other', async () => {
  const { rows } = await stack.migrator.query('select code from request.error_codes');
  const raised = sources('sql', '.sql').flatMap((text) =>
    [...text.matchAll(/request\.raise_error\(\s*'(\w+)'/g)].map(([, code]) => code),
  );
  expect([...new Set(raised)].toSorted()).toEqual(rows.map((row) => row.code).toSorted());
});

test('the edge passes on every text that SQL gives to an error', () => {
  const texts = sources('sql', '.sql').flatMap((text) =>
    [...text.matchAll(/request\.raise_error\([^$]*?\);/g)].flatMap(([call]) => call.match(/'(?:[^']|'')*'/g) ?? []),
  );
  expect(texts.length).toBeGreaterThan(200);
  const withheld = texts.filter((details) => faultOf(422, { code: 'event_invalid', details }).details !== details);
  // For who has a session of the database's own; the edge lets nobody through without a token.
  expect(withheld).toEqual([expect.stringContaining('auth.enter(token)')]);
});

test('TypeScript or SQL uses every code', () => {
  const text = [...sources('functions', '.ts'), ...sources('sql', '.sql')].join('\n');
  const unused = known.map(([code]) => code).filter((code) => !text.includes(`'${code}'`));
  expect(unused).toEqual([]);
});

function sources(folder: string, ending: string): string[] {
  return readdirSync(join(packageRoot, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(ending))
    .map((file) => readFileSync(join(packageRoot, folder, file), 'utf8'));
}
