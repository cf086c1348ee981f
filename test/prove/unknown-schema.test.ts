import { afterAll, beforeAll, expect, test } from 'vitest';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { addDbaTables, DBA_VIEWS } from './dba-tables.ts';
import { brief, proveStack, withFlaw } from './proving.ts';

// A schema that is not ours: tables that the prover has never heard of.

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack();
  await addDbaTables(stack);
});

afterAll(() => stack?.stop());

test('six tables of a DBA are filled, attacked and covered, with no change but protect()', async () => {
  const report = await proveStack(stack, { quick: true, only: { relations: DBA_VIEWS } });
  expect(brief(report.findings)).toEqual([]);
  expect(report.relations.toSorted()).toEqual(DBA_VIEWS);
  for (const relation of DBA_VIEWS) {
    const cells = report.cells.filter((cell) => cell.relation === relation);
    expect(
      cells.reduce((sum, { probes }) => sum + probes, 0),
      relation,
    ).toBeGreaterThan(100);
  }
}, 120_000);

const flaws: [table: string, plant: string, uproot: string][] = [
  [
    'invoices',
    'create policy oops on app.invoices for insert to tenant_user with check (true)',
    'drop policy oops on app.invoices',
  ],
  [
    'invoice_lines',
    'create policy oops on app.invoice_lines for select to tenant_user using (true)',
    'drop policy oops on app.invoice_lines',
  ],
  ['tags', 'create policy oops on app.tags for delete to tenant_user using (true)', 'drop policy oops on app.tags'],
  [
    'invoice_tags',
    'alter view v1.invoice_tags set (security_invoker = false); create policy oops on app.invoice_tags to rowhouse_owner using (true)',
    'alter view v1.invoice_tags set (security_invoker = true); drop policy oops on app.invoice_tags',
  ],
  [
    'folders',
    'alter table app.folders disable row level security',
    'alter table app.folders enable row level security',
  ],
  [
    'bookings',
    'create policy oops on app.bookings for update to tenant_user using (true)',
    'drop policy oops on app.bookings',
  ],
];

test.each(flaws)('a flaw in %s is caught', async (table, plant, uproot) => {
  const report = await withFlaw(
    stack,
    { plant, uproot },
    { stopAtFirstLeak: true, only: { relations: [`v1.${table}`] } },
  );
  expect(brief(report.findings.filter(({ kind }) => kind === 'leak'))).toHaveLength(1);
});

test('generated input that leaks is shrunk to the least that does', async () => {
  const plant = `
    create function app.shout() returns trigger language plpgsql set search_path = '' as $$ begin new.name := upper(new.name); return new; end $$;
    create trigger shout before insert on app.folders for each row execute function app.shout()`;
  const uproot = 'drop trigger shout on app.folders; drop function app.shout()';
  const only = { relations: ['v1.folders'], families: ['payload' as const], roles: ['owner'] };
  const report = await withFlaw(stack, { plant, uproot }, { quick: false, only });
  const leak = report.findings.find(({ at }) => at.includes('name, generated text'));
  expect(leak).toMatchObject({
    kind: 'leak',
    detail: expect.stringMatching(/^for ".{1,4}": it came back as ".{1,4}"$/u),
  });
  expect(leak?.curl).toMatch(/^curl -i -X POST 'http[^']*\/folders' .*"name":".{1,4}"/u);
});

const inexplicable = (tag: string) => `
  create table app.seals (
    tenant_id tenancy.tenant_id not null,
    id uuid not null default uuidv7(),
    stamp text not null,
    constraint seals_pkey primary key (tenant_id, id),
    constraint seals_stamp_right check (md5(stamp) = '54ef36ec71201fdf9d1423fd26f97f6b')
  ) partition by hash (tenant_id);
  ${tag};
  select tenancy.protect('app.seals', partitions => 1, expose => true)`;
const uproot = 'drop view v1.seals; drop table app.seals';
const only = { relations: ['v1.seals'] };

test('a column that cannot be filled is a failure, and covers nothing', async () => {
  const report = await withFlaw(stack, { plant: inexplicable(''), uproot }, { only });
  expect(report.findings).toContainEqual(
    expect.objectContaining({
      kind: 'unfillable',
      at: 'app.seals',
      detail: expect.stringContaining('seals_stamp_right'),
    }),
  );
  expect(report.uncovered).toBeGreaterThan(0);
});

test('a @sample in the comment of that column cures it', async () => {
  const tag = `comment on column app.seals.stamp is 'What opens it. @sample "open sesame"'`;
  const report = await withFlaw(stack, { plant: inexplicable(tag), uproot }, { only });
  expect(brief(report.findings)).toEqual([]);
});

test('what the catalogue grants and the API does not serve is a mismatch', async () => {
  await stack.createTenant('t_acme');
  const token = await stack.token({ tenant: 't_acme' });
  const serves = async () => Object.keys((await http<{ paths: object }>(`${stack.postgrest}/`, { token })).body.paths);
  // The last test's table goes from the cache first, so that no reload under way finds the next one.
  await expect.poll(serves, { timeout: 10_000 }).not.toContain('/seals');
  await stack.migrator.query(`
    create table app.late (tenant_id tenancy.tenant_id not null, id uuid not null, primary key (tenant_id, id)) partition by hash (tenant_id);
    select tenancy.protect('app.late', partitions => 1, expose => true)`);
  try {
    const report = await proveStack(stack, { only: { relations: ['v1.tenant'], families: ['range'] } });
    const detail = 'the catalogue grants it to owner, and the API does not serve it';
    expect(report.findings).toContainEqual(expect.objectContaining({ kind: 'mismatch', at: 'v1.late', detail }));
  } finally {
    await stack.migrator.query('drop view v1.late; drop table app.late');
  }
});
