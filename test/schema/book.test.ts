import { expect, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { applyBook, type ObjectKind, readBook } from '../../functions/migrate/book.ts';
import { createBlankDatabase } from '../support/blank-database.ts';

/** Asks the catalogue for an object by its identity; $1 is the name, for policies and triggers $2 is their table. */
const LOOKUPS: Partial<Record<ObjectKind, string>> = {
  schema: 'select to_regnamespace($1) is not null as found, $2::text',
  domain: 'select to_regtype($1) is not null as found, $2::text',
  table: `select exists (select from pg_class where oid = to_regclass($1) and relkind in ('r', 'p')) as found, $2::text`,
  view: `select exists (select from pg_class where oid = to_regclass($1) and relkind = 'v') as found, $2::text`,
  function: 'select to_regprocedure($1) is not null as found, $2::text',
  policy:
    'select exists (select from pg_policy where polrelid = to_regclass($2) and quote_ident(polname) = $1) as found',
  trigger:
    'select exists (select from pg_trigger where tgrelid = to_regclass($2) and quote_ident(tgname) = $1) as found',
};

test('builds a database in which every identity of the book names its object', async () => {
  const objects = await readBook();
  const database = await createBlankDatabase();
  try {
    const missing = await connected(database.urls.migrator, async (client) => {
      await applyBook(client, objects);
      const absent: string[] = [];
      for (const { kind, identity, file, line } of objects) {
        const lookup = LOOKUPS[kind];
        if (!lookup) continue;
        const onTable = kind === 'policy' || kind === 'trigger';
        const [name, table] = onTable ? (identity.match(/^(.*) on (\S+)$/)?.slice(1) ?? []) : [identity, null];
        const { rows } = await client.query<{ found: boolean }>(lookup, [name, table]);
        if (!rows[0]?.found) absent.push(`${file}:${line}: ${kind} ${identity}`);
      }
      return absent;
    });
    expect(missing).toEqual([]);
    expect(objects.length).toBeGreaterThan(100);
  } finally {
    await database.drop();
  }
});

test('names file, line and object when the book does not build, and leaves nothing behind', async () => {
  const database = await createBlankDatabase();
  const object = (kind: ObjectKind, identity: string, text: string, line: number) => ({
    kind,
    identity,
    text,
    file: 'sql/x.sql',
    line,
  });
  try {
    await connected(database.urls.migrator, async (client) => {
      const broken = [
        object('schema', 'shop', 'create schema shop;', 1),
        object('table', 'shop.items', 'create table shop.items (\n  id nope\n);', 3),
      ];
      await expect(applyBook(client, broken)).rejects.toMatchObject({
        code: 'book_invalid',
        detail: 'sql/x.sql:5: table shop.items: type "nope" does not exist',
      });
      const { rows } = await client.query(`select to_regnamespace('shop') is null as nothing`);
      expect(rows).toEqual([{ nothing: true }]);
    });
  } finally {
    await database.drop();
  }
});
