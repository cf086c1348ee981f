import { writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseObjects, readBook } from '../../functions/migrate/book.ts';
import { createBook } from '../support/book.ts';

const invalid = (detail: string) => expect.objectContaining({ code: 'book_invalid', detail });

describe('the book', () => {
  test('returns objects with identity, whole text, file and line', () => {
    const source = [
      '-- what this file is about',
      '',
      '--@ schema shop',
      'create schema shop;',
      '',
      '--@ policy "A seller, too" on shop.items',
      'create policy "A seller, too" on shop.items using (true);',
      'comment on policy "A seller, too" on shop.items is \'x\';',
      '--@ function shop.price(text,integer)',
      'create function shop.price(name text, amount integer) returns text language sql return $1;',
    ].join('\n');
    expect(parseObjects(source, 'sql/shop.sql')).toEqual([
      { kind: 'schema', identity: 'shop', text: 'create schema shop;', file: 'sql/shop.sql', line: 3 },
      {
        kind: 'policy',
        identity: '"A seller, too" on shop.items',
        text:
          'create policy "A seller, too" on shop.items using (true);\n' +
          'comment on policy "A seller, too" on shop.items is \'x\';',
        file: 'sql/shop.sql',
        line: 6,
      },
      {
        kind: 'function',
        identity: 'shop.price(text, integer)',
        text: 'create function shop.price(name text, amount integer) returns text language sql return $1;',
        file: 'sql/shop.sql',
        line: 9,
      },
    ]);
  });

  test.each([
    ['an unknown kind', '--@ rule shop.x\nselect 1;', 'shop.sql:1: unknown kind "rule"'],
    [
      'a name without its schema',
      '\n--@ table items\ncreate table items ();',
      'shop.sql:2: "items" does not identify a table',
    ],
    [
      'a function without its types',
      '--@ function shop.f\nselect 1;',
      'shop.sql:1: "shop.f" does not identify a function',
    ],
    [
      'a statement before the first object',
      '-- x\nselect 1;',
      'shop.sql:2: a statement before the first identity line',
    ],
    [
      'an object without text',
      '--@ schema shop\n\n--@ schema other\ncreate schema other;',
      'shop.sql:1: schema shop has no text',
    ],
  ])('refuses %s with file and line', (_, source, detail) => {
    expect(() => parseObjects(source, 'shop.sql')).toThrow(invalid(detail));
  });

  test('refuses a second object of the same identity, naming both places', async () => {
    const book = createBook('--@ schema shop\ncreate schema shop;\n--@ schema  shop\ncreate schema shop;\n');
    await expect(readBook(book.index)).rejects.toEqual(
      invalid('sql/shop/chapter.sql:3: schema shop is already defined at sql/shop/chapter.sql:1'),
    );
  });

  test('refuses an index that holds anything but \\ir lines and comments, or names a missing file', async () => {
    const book = createBook('--@ schema shop\ncreate schema shop;');
    writeFileSync(book.index, '-- ok\n\\i shop/chapter.sql\n');
    await expect(readBook(book.index)).rejects.toEqual(
      invalid('sql/index.sql:2: not an \\ir line: \\i shop/chapter.sql'),
    );
    writeFileSync(book.index, '\\ir shop/none.sql\n');
    await expect(readBook(book.index)).rejects.toEqual(invalid('sql/index.sql:1: cannot read shop/none.sql (ENOENT)'));
  });
});
