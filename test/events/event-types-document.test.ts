import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packageRoot } from '../../functions/paths.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// docs/event-types.md says of the database what the database says of itself. When it is meant to say something else: `npx vitest run
// test/events/event-types-document.test.ts --update`.

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
});

afterAll(() => stack?.stop());

interface Property {
  type?: string | string[];
  format?: string;
  items?: Property;
  description?: string;
}
interface Source {
  name: string;
  version: number;
  role: string;
  of_table: boolean;
  description: string;
  schema: { properties: Record<string, Property> };
  types: string[];
}

const INTRODUCTION = `# Event types

The types of [events](events.md) that there are before anyone adds a table or declares a type, as the database lists them: this page is
compared with it ([test](../test/events/event-types-document.test.ts)). \`GET /v1/event_types\` has those of a running system, yours
among them, each with its JSON Schema and the schemas of its earlier versions.

Version is the last part of \`dataschema\`. Seen by: the least role that sees them.`;

const ROWS = `The data of a table's event is the row as clients may read it, before and after; columns are listed below.

| type | \`old\` | \`new\` | \`changed\` |
|---|---|---|---|
| \`….inserted\` | null | the row | null |
| \`….updated\` | the row | the row | the names of the columns that differ |
| \`….deleted\` | the row | null | null |`;

/** Tags in comments are for `rowhouse prove`. */
const text = (words = '') =>
  words
    .replaceAll(/^@\w+ .*$/gm, '')
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/[|<]/g, '\\$&')
    .trim();
const row = (...cells: string[]) => `| ${cells.join(' | ')} |`.replace('|  |', '| |');
const code = (words: string) => `\`${words}\``;

function shape({ type, format, items }: Property): string {
  if (type === undefined) return 'any JSON';
  const [first = '', ...others] = [type].flat();
  const of = items ? ` of ${shape(items).replace(/(.* or .*)/, '($1)')}` : '';
  return [first + of + (format ? ` (${format})` : ''), ...others].join(' or ');
}

function chapter({ name, of_table, description, schema }: Source): string {
  const title = `## ${name}\n\n${text(description)}\n`;
  if (!of_table) return [title, '```json', JSON.stringify(schema, null, 2), '```'].join('\n');
  const columns = Object.entries(schema.properties).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const rows = columns.map(([column, value]) => row(code(column), shape(value), text(value.description)));
  return [title, '| column | JSON | |', '|---|---|---|', ...rows].join('\n');
}

test('docs/event-types.md lists each type that is built in, as the database describes it', async () => {
  const { rows } = await stack.admin.query<Source>(`
    select s.name, s.version, l.least_role as role, s.relation is not null as of_table, s.description, s.schema,
      array(select t.type from v1.event_types as t
        where t.version = s.version and t.type in (s.name, s.name || '.inserted', s.name || '.updated', s.name || '.deleted')
        order by array_position('{inserted,updated,deleted}', split_part(t.type, '.', -1))) as types
    from ledger.event_sources as s join ledger.sources as l using (name) order by s.name`);
  const listed = await stack.admin.query('select distinct type from v1.event_types');
  expect(rows.flatMap(({ types }) => types).toSorted()).toEqual(listed.rows.map(({ type }) => type).toSorted());

  const types = rows.flatMap(({ types: some, version, role }) =>
    some.map((type) => row(code(type), `${version}`, role)),
  );
  const list = ['| type | version | seen by |', '|---|---|---|', ...types].join('\n');
  const page = [INTRODUCTION, list, ROWS, ...rows.map(chapter)].join('\n\n');
  await expect(`${page}\n`).toMatchFileSnapshot(join(packageRoot, 'docs/event-types.md'));
});

test('the types of a table are described by the first line of its comment, or by its name where it has none', async () => {
  await stack.migrator.query(`
    create table app.invoices (
      tenant_id tenancy.tenant_id not null, id uuid not null default uuidv7(),
      constraint invoices_pkey primary key (tenant_id, id)
    ) partition by hash (tenant_id);
    select tenancy.protect('app.invoices', partitions => 2, expose => true)`);
  const described = async () => {
    const { rows } = await stack.admin.query<{ description: string }>(
      `select description from v1.event_types where type like 'app.invoices.%' order by type desc`,
    );
    return rows.map(({ description }) => description);
  };
  const of = (words: string) => ['changed', 'added', 'removed'].map((done) => `A row was ${done}: ${words}`);
  const comment = async (text: string) => {
    const renew = `select tenancy.protect('app.invoices', expose => true)`;
    await stack.migrator.query(`comment on table app.invoices is ${text}; ${renew}`);
    return described();
  };
  expect(await described()).toEqual(of('app.invoices'));
  expect(await comment(`e'Invoices\\n\\nWhat customers owe.'`)).toEqual(of('Invoices'));
  expect(await comment(`e'\\nWhat customers owe.'`)).toEqual(of('app.invoices'));
});
