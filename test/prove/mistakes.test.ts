import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { examine } from '../../functions/doctor/run.ts';
import type { ProveReport } from '../../functions/prove/types.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { addDbaTables, DBA_VIEWS } from './dba-tables.ts';
import { FUNCTION_MISTAKES } from './mistakes/functions.ts';
import { GATE_MISTAKES } from './mistakes/gate.ts';
import { KEY_MISTAKES } from './mistakes/keys.ts';
import { POLICY_MISTAKES } from './mistakes/policies.ts';
import { ROLE_AND_SERVER_MISTAKES } from './mistakes/roles-and-server.ts';
import { SETTING_MISTAKES } from './mistakes/settings.ts';
import { TABLE_MISTAKES } from './mistakes/tables.ts';
import { VIEW_MISTAKES } from './mistakes/views.ts';
import { brief, proveStack, withFlaw } from './proving.ts';

const mistakes = [
  ...TABLE_MISTAKES,
  ...POLICY_MISTAKES,
  ...SETTING_MISTAKES,
  ...VIEW_MISTAKES,
  ...FUNCTION_MISTAKES,
  ...KEY_MISTAKES,
  ...ROLE_AND_SERVER_MISTAKES,
  ...GATE_MISTAKES,
];
const told = mistakes.filter(({ doctor }) => doctor.length > 0);
const exploited = mistakes.flatMap(({ name, plant, prove }) =>
  'only' in prove && !prove.where ? [{ name, plant, ...prove }] : [],
);

let stack: TestStack;
let before: ProveReport;

beforeAll(async () => {
  stack = await createTestStack();
  await addDbaTables(stack);
  before = await clean();
});

afterAll(() => stack?.stop());

/** What the doctor says of the schema with something planted in it, which is gone afterwards. */
async function doctorFinds(plant = ''): Promise<string[]> {
  const client = await stack.admin.connect();
  try {
    await client.query(`begin; set local role rowhouse_owner; ${plant}`);
    await client.query('reset role; set local role rowhouse_owner');
    return (await examine(client)).findings.map(({ lint, object }) => `${lint} ${object}`);
  } finally {
    await client.query('rollback; reset role');
    client.release();
  }
}

const clean = () =>
  proveStack(stack, {
    quick: true,
    only: { relations: [...DBA_VIEWS, 'v1.files'], families: ['read', 'tenant', 'row'] },
  });

test('there are at least 25, each with a name of its own and somebody who catches it', () => {
  expect(mistakes.length).toBeGreaterThanOrEqual(25);
  expect(new Set(mistakes.map(({ name }) => name)).size).toBe(mistakes.length);
  expect(mistakes.filter(({ doctor, prove }) => doctor.length === 0 && !('only' in prove))).toEqual([]);
});

test('before the first of them, neither doctor nor prover finds anything', async () => {
  expect(await doctorFinds()).toEqual([]);
  expect(brief(before.findings)).toEqual([]);
});

describe('the doctor names the mistake:', () => {
  test.each(told)('$name', async ({ plant, doctor }) => {
    expect(await doctorFinds(plant)).toEqual(expect.arrayContaining(doctor));
  });
});

describe('the prover gets through where', () => {
  test.each(exploited)('$name', async ({ plant, uproot, by, only, beside, at, kind = 'leak' }) => {
    const report = await withFlaw(stack, { plant, uproot, ...(by ? { by } : {}) }, { only }, beside);
    const caught = report.findings.find((finding) => finding.kind === kind && at.test(finding.at));
    expect(caught, brief(report.findings).join('\n') || 'nothing was found').toBeDefined();
    if (kind === 'leak' && !beside) expect(caught?.curl).toMatch(/^curl -i /);
  });
});

test('after the last of them, there is nothing to find again', async () => {
  expect(await doctorFinds()).toEqual([]);
  const report = await clean();
  expect(brief(report.findings)).toEqual([]);
  expect(report.digest).toBe(before.digest);
});
