import { afterAll, beforeAll, expect, test } from 'vitest';
import { rules } from '../../functions/prove/rules/index.ts';
import { rulesHere } from '../../functions/prove/rules/plan.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { brief, proveStack } from './proving.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack();
});

afterAll(() => stack?.stop());

test('every rule is about a relation or function that the schema has', async () => {
  expect(rules.length).toBeGreaterThan(400);
  const { here, absent } = await rulesHere(stack.migrator);
  expect(absent).toEqual([]);
  expect(here).toEqual(rules);
});

test.each([
  ['app.require_lease(uuid,integer)', 'function app.require_lease', 'function app.require_other'],
  ['webhook.endpoint_secrets', 'table webhook.endpoint_secrets', 'table webhook.other_secrets'],
])('%s does not take its rules along when it is renamed: they are uncovered', async (about, before, after) => {
  const rename = (from: string, to: string) => stack.migrator.query(`alter ${from} rename to ${to.split('.')[1]}`);
  const only = { relations: [about], verbs: ['rule' as const] };
  const prove = () => proveStack(stack, { quick: true, only }, 'sessions');
  const whole = await prove();
  expect([whole.probes > 0, brief(whole.findings)]).toEqual([true, []]);

  await rename(before, after);
  try {
    const { findings, uncovered } = await prove();
    expect([uncovered, findings]).toMatchObject([1, [{ kind: 'uncovered', relation: about }]]);
    for (const { title } of rules.filter((rule) => rule.about === about)) expect(findings[0]?.detail).toContain(title);
  } finally {
    await rename(after, before);
  }
});
