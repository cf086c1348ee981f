import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { examine } from '../../functions/doctor/run.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { DBA_TABLE, DBA_TYPES, type DbaTable, protectDbaTables } from './dba-tables.ts';
import { ACCEPTED, REFUSED } from './flawed-tables.ts';
import { brief, withFlaw } from './proving.ts';

const NAMES = Object.keys(DBA_TABLE) as DbaTable[];
let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.admin.query('create extension if not exists btree_gist with schema extensions');
});

afterAll(() => stack?.stop());

interface Change {
  table: DbaTable;
  change?: [from: string, to: string][];
  before?: string;
}

/** What the generated column of a flawed table calls. */
const NET = `create function app.net(quantity numeric, price numeric) returns numeric language sql immutable security definer
  set search_path = '' return quantity * price; grant execute on function app.net(numeric, numeric) to tenant_user`;

/** The tables up to the one with the flaw, and then all of them put behind the wall. */
function flawed({ table, change = [], before }: Change): string {
  const names = NAMES.slice(0, NAMES.indexOf(table) + 1);
  const changed = change.reduce((sql, [from, to]) => {
    expect(sql).toContain(from);
    return sql.replace(from, to);
  }, DBA_TABLE[table]);
  const definitions = names.map((name) => (name === table ? changed : DBA_TABLE[name]));
  const needed = changed.includes('app.net(') ? [NET] : [];
  return [DBA_TYPES, ...needed, ...definitions, ...(before ? [before] : []), protectDbaTables(names)].join(';\n');
}

/** What becomes of it: the error that it is refused with, or what the doctor finds. */
async function judged(sql: string) {
  const client = await stack.migrator.connect();
  try {
    await client.query(`begin; ${sql}`);
    return (await examine(client)).findings.map(({ lint, object }) => `${lint} ${object}`);
  } catch (error) {
    const { code, message, hint, detail } = error as { code: string; message: string; hint?: string; detail?: string };
    return { code, message, remedy: hint ?? detail };
  } finally {
    await client.query('rollback');
    client.release();
  }
}

test.each(NAMES)('app.%s as it should be is neither refused nor objected to', async (table) => {
  expect(await judged(flawed({ table }))).toEqual([]);
});

test('each of the six has at least two flaws that are refused or caught', () => {
  for (const table of NAMES) {
    expect(REFUSED.filter((one) => one.table === table).length, table).toBeGreaterThanOrEqual(2);
    expect(ACCEPTED.filter((one) => one.table === table).length, table).toBeGreaterThanOrEqual(2);
  }
});

describe('refused, with what to change, where', () => {
  test.each(REFUSED)('app.$table $flaw', async ({ code, message, remedy, ...change }) => {
    expect(await judged(flawed(change))).toEqual({ code, message, remedy });
  });
});

describe('caught by the doctor where', () => {
  test.each(ACCEPTED)('app.$table $flaw', async ({ doctor, ...change }) => {
    expect(await judged(flawed(change))).toEqual(doctor);
  });
});

describe('caught by the prover where', () => {
  const exploited = ACCEPTED.flatMap(({ prove, ...change }) => (prove ? [{ ...change, ...prove }] : []));
  test.each(exploited)('app.$table $flaw', async ({ only, at, kind = 'leak', ...change }) => {
    const names = NAMES.slice(0, NAMES.indexOf(change.table) + 1).toReversed();
    const uproot = [
      ...names.map((name) => `drop view v1.${name}; drop table app.${name}`),
      'drop type app.booking_state; drop domain app.currency',
    ].join(';');
    const report = await withFlaw(stack, { plant: flawed(change), uproot }, { only });
    const caught = report.findings.find((finding) => finding.kind === kind && at.test(finding.at));
    expect(caught, brief(report.findings).join('\n') || 'nothing was found').toBeDefined();
  });
});

test('a default that names a tenant is replaced by the sealed one', async () => {
  const change: [string, string][] = [
    ['tenant_id tenancy.tenant_id not null,', `tenant_id tenancy.tenant_id not null default 't_acme',`],
  ];
  expect(await judged(flawed({ table: 'tags', change }))).toEqual([]);
});
