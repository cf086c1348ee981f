import { expect, test } from 'vitest';
import { splitStatements, undoStatement } from '../../functions/migrate/statements.ts';
import { createBook } from '../support/book.ts';

const SCHEMA = '--@ schema shop\ncreate schema shop;\n';
const TABLE = '--@ table shop.items\ncreate table shop.items (id int);\n';
const half = (source: string, which: 'up' | 'down') => source.split('-- migrate:down')[which === 'up' ? 0 : 1] ?? '';

test('cuts SQL into statements without falling for strings, bodies, comments or atomic bodies', () => {
  const sql = `
    select 'a;b', "c;d", e'it\\'s;'; -- x; y
    /* z; */ create function f() returns int language plpgsql as $body$ begin return 1; end $body$;
    create function g() returns int begin atomic select case when true then 1 end; select 2; end;
    grant all on t to a`;
  expect(splitStatements(sql)).toEqual([
    `select 'a;b', "c;d", e'it\\'s;'`,
    'create function f() returns int language plpgsql as $body$ begin return 1; end $body$',
    'create function g() returns int begin atomic select case when true then 1 end; select 2; end',
    'grant all on t to a',
  ]);
});

test.each([
  ['grant select (a, b) on shop.items to x, y', 'revoke select (a, b) on shop.items from x, y;'],
  ['grant usage on schema shop to x with grant option', 'revoke usage on schema shop from x;'],
  [
    'alter default privileges in schema shop revoke execute on functions from public',
    'alter default privileges in schema shop grant execute on functions to public;',
  ],
  ['alter default privileges grant select on tables to x', 'alter default privileges revoke select on tables from x;'],
  [`comment on policy "Who is this" on shop.items is 'x'`, 'comment on policy "Who is this" on shop.items is null;'],
  ['revoke all on shop.items from public', undefined],
  ['create table t ()', undefined],
])('takes back %s', (statement, undo) => {
  expect(undoStatement(statement)).toBe(undo);
});

test('names the file by UTC time and words, and starts both halves with a lock timeout and an empty search path', async () => {
  const book = createBook(SCHEMA);
  const [first] = await book.compose('First: the shop!');
  expect(first?.file).toMatch(/^\d{14}_first_the_shop\.sql$/);
  expect(book.source(first?.file ?? '')).toBe(`-- migrate:up
set local lock_timeout = '3s';
set local search_path = '';

--@ schema shop
create schema shop;

-- migrate:down
set local lock_timeout = '3s';
set local search_path = '';

--@ drop schema shop
drop schema shop;
`);
});

test('writes nothing where nothing changed', async () => {
  const book = createBook(SCHEMA + TABLE);
  expect(await book.compose('first')).toHaveLength(1);
  expect(await book.compose('second')).toEqual([]);
});

test('gives the second of two migrations in one second a later version', async () => {
  const book = createBook(SCHEMA);
  const [first] = await book.compose('a');
  book.write(SCHEMA + TABLE);
  const [second] = await book.compose('b');
  expect((second?.file ?? '').slice(0, 14) > (first?.file ?? '').slice(0, 14)).toBe(true);
});

test('leaves a changed table to a person, and keeps the new text as the record', async () => {
  const book = createBook(SCHEMA + TABLE);
  await book.compose('first');
  const changed = TABLE.replace('(id int)', '(id int, name text)');
  book.write(SCHEMA + changed);
  const [second] = await book.compose('add name');
  const source = book.source(second?.file ?? '');
  expect(second?.changes).toMatchObject([{ step: 'hand', key: 'table shop.items' }]);
  expect(half(source, 'up')).toContain(
    '--@ table shop.items\n-- hand: table shop.items changed: put the statements that do it in place of this line.\n' +
      '-- Keep what starts with --= as it is: the record of the new text.\n' +
      '--- create table shop.items (id int);\n--= create table shop.items (id int, name text);\n',
  );
  expect(half(source, 'down')).toContain(
    '--- create table shop.items (id int, name text);\n--= create table shop.items (id int);\n',
  );
  // A history that holds the record has nothing more to say.
  expect(await book.compose('third')).toEqual([]);
});

test('leaves reference rows to a person unless they go with their table', async () => {
  const rows = '--@ data shop.items\ninsert into shop.items values (1);\n';
  const book = createBook(SCHEMA + TABLE + rows);
  const [first] = await book.compose('first');
  expect(half(book.source(first?.file ?? ''), 'down')).toContain(
    '--@ drop data shop.items\n-- The rows go with their table.',
  );
  book.write(SCHEMA + TABLE);
  const [second] = await book.compose('second');
  expect(second?.changes).toMatchObject([{ step: 'hand', key: 'data shop.items' }]);
});

test('says that a revoke which is gone is not taken back', async () => {
  const book = createBook(
    `${SCHEMA}--@ grants shop\nrevoke all on schema shop from public;\ngrant usage on schema shop to public;\n`,
  );
  await book.compose('first');
  book.write(`${SCHEMA}--@ grants shop\nselect 1;\n`);
  const [second] = await book.compose('second');
  expect(half(book.source(second?.file ?? ''), 'up')).toContain(
    '--@ run undo grants shop\n-- Privileges: check by hand that no other object of the book grants the same.\n' +
      'revoke usage on schema shop from public;\n' +
      '-- Not taken back, it would open a door: revoke all on schema shop from public\n\n--@ grants shop\nselect 1;',
  );
});

test('warns of the lock that a dropped policy takes', async () => {
  const book = createBook(
    `${SCHEMA + TABLE}--@ policy "All" on shop.items\ncreate policy "All" on shop.items using (true);\n`,
  );
  const [first] = await book.compose('first');
  expect(half(book.source(first?.file ?? ''), 'down')).toContain(
    '-- ACCESS EXCLUSIVE on shop.items until commit.\ndrop policy "All" on shop.items;',
  );
});

test('splits the first migrations by chapter, and refuses to split later ones', async () => {
  const book = createBook(SCHEMA + TABLE);
  const written = await book.compose('init', { split: true });
  expect(written.map(({ file }) => file.slice(14))).toEqual(['_init_shop.sql']);
  await expect(book.compose('again', { split: true })).rejects.toMatchObject({ code: 'migration_invalid' });
});

test('writes an empty skeleton that does not run until a person filled it', async () => {
  const book = createBook(SCHEMA);
  const [written] = await book.compose('backfill', { empty: true });
  expect(book.source(written?.file ?? '').match(/^-- hand:/gm)).toHaveLength(2);
});
