import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// A version is for readers: it rises where what comes need not be what they were told, and at nothing else.

let stack: TestStack;
let token = '';
let made = 0;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.createTenant('t_acme');
  token = await stack.token({ tenant: 't_acme', role: 'viewer' });
});

afterAll(() => stack?.stop());

const total = (type: string, more: object = {}) => ({ type: 'object', properties: { total: { type } }, ...more });

/** The versions that are listed after a type was declared twice, and the schema of the first. */
async function redeclared(before: object, after: object): Promise<[number[], unknown]> {
  made += 1;
  for (const schema of [before, after])
    await stack.migrator.query(`select ledger.declare_event_type($1, 'Made', $2)`, [
      `made.order_${made}`,
      JSON.stringify(schema),
    ]);
  const { status, body } = await http<{ version: number; schema: Record<string, unknown> }[]>(
    `${stack.postgrest}/event_types?type=eq.made.order_${made}&order=version`,
    { token },
  );
  expect(status).toBe(200);
  const { $schema, $id, ...first } = body[0]?.schema ?? {};
  expect($id).toBe(`rowhouse:/v1/event-types/made.order_${made}/1`);
  return [body.map(({ version }) => version), first];
}

describe('a declared type has another version', () => {
  test.each<[string, object, object]>([
    ['a property has another type', total('string'), total('number')],
    ['a property is gone', total('string'), { type: 'object', properties: {} }],
    ['a property is required', total('string'), total('string', { required: ['total'] })],
    ['nothing else is allowed any more', total('string'), total('string', { additionalProperties: false })],
    ['its properties were not named before', { type: 'object' }, total('string')],
    ['it is of another type altogether', { type: 'string' }, { type: 'number' }],
    ['a property that could be anything cannot', { properties: { any: true } }, { properties: { any: false } }],
  ])('where %s', async (_, before, after) => {
    expect(await redeclared(before, after)).toEqual([[1, 2], before]);
  });

  test.each<[string, object, object]>([
    ['is declared again', total('string'), total('string')],
    ['has a property more', total('string'), { type: 'object', properties: { total: { type: 'string' }, note: true } }],
    [
      'has other words',
      { ...total('string'), description: 'a' },
      { type: 'object', description: 'b', properties: { total: { type: 'string', description: 'c' } } },
    ],
    ['is said more of, with no properties', { type: 'string', title: 'a' }, { type: 'string', description: 'b' }],
  ])('and the same where it %s', async (_, before, after) => {
    expect(await redeclared(before, after)).toEqual([[1], after]);
  });
});
