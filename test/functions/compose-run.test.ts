import { expect, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { applyBook, readBook } from '../../functions/migrate/book.ts';
import { diffCatalogues, readCatalogue } from '../../functions/migrate/catalogue.ts';
import { migrateDown, migrateUp } from '../../functions/migrate/dbmate.ts';
import { createBlankDatabase } from '../support/blank-database.ts';
import { createBook } from '../support/book.ts';

/** Each kind of change: what the book said, what it says now, and which steps that takes. */
const BASE = `--@ schema shop
create schema shop;
grant usage on schema shop to tenant_user;
grant usage, create on schema shop to rowhouse_sealer;
--@ table shop.items
create table shop.items (id int primary key, price int not null);
alter table shop.items enable row level security;
`;
const FUNCTION = `--@ function shop.price(integer)
create function shop.price(item_id integer)
returns integer
language sql
stable
set search_path = ''
as $$ select price from shop.items where id = item_id $$;
comment on function shop.price(integer) is 'What it costs.';
grant execute on function shop.price(integer) to tenant_user;
`;
/** Made and kept by the sealer, as the gate's functions are. */
const SEALED = `${FUNCTION.replace('create function', 'set role rowhouse_sealer;\ncreate function')}set role rowhouse_owner;\n`;
const VIEW = `--@ view shop.prices
create view shop.prices with (security_invoker = true) as select id, price from shop.items;
comment on view shop.prices is 'Prices.';
grant select on shop.prices to tenant_user;
`;
const POLICY = `--@ policy "A client reads what has a price" on shop.items
create policy "A client reads what has a price" on shop.items for select to tenant_user using (price > 0);
`;
const TOUCH = `--@ function shop.touch()
create function shop.touch()
returns trigger
language plpgsql
as $$ begin return new; end $$;
`;
const TRIGGER = `--@ trigger touch on shop.items
create trigger touch before update on shop.items for each row execute function shop.touch();
`;
const CONSTRAINT_TRIGGER = `--@ trigger check_later on shop.items
create constraint trigger check_later after insert on shop.items deferrable for each row execute function shop.touch();
`;
const GRANTS = `--@ grants shop
grant select on shop.items to tenant_user, operator;
grant insert (id, price) on shop.items to tenant_user;
alter default privileges in schema shop grant select on tables to operator;
`;

const CASES: [what: string, before: string, after: string, steps: string[]][] = [
  ['a function body', FUNCTION, FUNCTION.replace('select price', 'select price + 1'), ['replace']],
  ['a function and its grants', FUNCTION, FUNCTION.replace('to tenant_user', 'to operator'), ['replace']],
  ['a function that loses its comment', FUNCTION, FUNCTION.replace(/comment on.*\n/, ''), ['replace']],
  ['a function result', FUNCTION, FUNCTION.replace('returns integer', 'returns bigint'), ['rebuild']],
  ['a parameter name', FUNCTION, FUNCTION.replaceAll('item_id', 'the_item'), ['rebuild']],
  [
    'a function signature',
    FUNCTION,
    FUNCTION.replaceAll('shop.price(integer)', 'shop.price(bigint)').replace('item_id integer', 'item_id bigint'),
    ['create', 'drop'],
  ],
  ['a function of another role', SEALED, SEALED.replace('select price', 'select price + 1'), ['replace']],
  ['grants of a function of another role', SEALED, SEALED.replace('to tenant_user', 'to operator'), ['replace']],
  ['a function that goes to another role', FUNCTION, SEALED, ['rebuild']],
  ['a view that loses a column', VIEW, VIEW.replace('select id, price', 'select id'), ['rebuild']],
  ['a policy', POLICY, POLICY.replace('price > 0', 'price > 10'), ['rebuild']],
  ['a trigger', TOUCH + TRIGGER, TOUCH + TRIGGER.replace('before update', 'before insert or update'), ['replace']],
  [
    'a constraint trigger',
    TOUCH + CONSTRAINT_TRIGGER,
    TOUCH + CONSTRAINT_TRIGGER.replace('insert', 'update'),
    ['rebuild'],
  ],
  [
    'grants',
    GRANTS,
    GRANTS.replace(', operator', '')
      .replace('(id, price)', '(id)')
      .replace(/alter.*\n/, ''),
    ['regrant'],
  ],
  ['new objects of every kind', '', FUNCTION + VIEW + POLICY + TOUCH + TRIGGER + GRANTS, Array(6).fill('create')],
  ['objects of every kind that go', FUNCTION + VIEW + POLICY + TOUCH + TRIGGER + GRANTS, '', Array(6).fill('drop')],
  [
    'a table with what its text makes beside it',
    '',
    `--@ table shop.orders
create sequence shop.order_numbers;
create function shop.next_number() returns bigint language sql as $$ select nextval('shop.order_numbers') $$;
create table shop.orders (id bigint default shop.next_number());
create view shop.recent_orders as select id from shop.orders;
`,
    ['create'],
  ],
  [
    "a table's comments and grants",
    "--@ table shop.orders\ncreate table shop.orders (id int);\ncomment on table shop.orders is 'Orders.';\ngrant select on shop.orders to operator;\n",
    "--@ table shop.orders\ncreate table shop.orders (id int);\ncomment on table shop.orders is 'All orders.';\ngrant insert on shop.orders to operator;\n",
    ['tail'],
  ],
];

test.each(CASES)('composes %s so that up gives the book and down gives what was', async (_, before, after, steps) => {
  const [replayed, built] = await Promise.all([createBlankDatabase(), createBlankDatabase()]);
  try {
    const catalogue = (url: string) => connected(url, readCatalogue);
    const book = createBook(BASE + before);
    await book.compose('before');
    await migrateUp(replayed.urls.migrator, { dir: book.dir });
    const first = await catalogue(replayed.urls.migrator);

    book.write(BASE + after);
    const written = await book.compose('after');
    expect(written.flatMap(({ changes }) => changes.map(({ step }) => step))).toEqual(steps);
    await migrateUp(replayed.urls.migrator, { dir: book.dir });
    const objects = await readBook(book.index);
    await connected(built.urls.migrator, (client) => applyBook(client, objects));
    const second = await catalogue(built.urls.migrator);
    expect(diffCatalogues(second, await catalogue(replayed.urls.migrator))).toEqual([]);
    // The change is one that the catalogue shows, so the comparison above could fail.
    expect(diffCatalogues(first, second)).not.toEqual([]);

    await migrateDown(replayed.urls.migrator, { dir: book.dir, steps: 1 });
    expect(diffCatalogues(first, await catalogue(replayed.urls.migrator))).toEqual([]);
    await migrateUp(replayed.urls.migrator, { dir: book.dir });
    expect(diffCatalogues(second, await catalogue(replayed.urls.migrator))).toEqual([]);
    expect(await book.compose('nothing')).toEqual([]);
  } finally {
    await Promise.all([replayed.drop(), built.drop()]);
  }
});

test('runs a table change that a person wrote in place of the marker, and refuses the file before that', async () => {
  const database = await createBlankDatabase();
  try {
    const book = createBook(BASE);
    await book.compose('before');
    await migrateUp(database.urls.migrator, { dir: book.dir });
    const first = await connected(database.urls.migrator, readCatalogue);
    book.write(BASE.replace('price int not null', 'price int not null, name text'));
    const [{ file } = { file: '' }] = await book.compose('add name');

    await expect(migrateUp(database.urls.migrator, { dir: book.dir })).rejects.toMatchObject({
      code: 'migration_invalid',
    });
    expect(diffCatalogues(first, await connected(database.urls.migrator, readCatalogue))).toEqual([]);

    const [up = '', down = ''] = book.source(file).split('-- migrate:down');
    book.put(
      file,
      `${up.replace(/^-- hand:.*$/m, 'alter table shop.items add column name text;')}-- migrate:down${down.replace(
        /^-- hand:.*$/m,
        'alter table shop.items drop column name;',
      )}`,
    );
    expect(await migrateUp(database.urls.migrator, { dir: book.dir })).toEqual([file]);
    expect(diffCatalogues(first, await connected(database.urls.migrator, readCatalogue))).toEqual([
      '+ column shop.items.name text collate "default" default storage x',
    ]);
    expect(await book.compose('nothing')).toEqual([]);
    await migrateDown(database.urls.migrator, { dir: book.dir, steps: 1 });
    expect(diffCatalogues(first, await connected(database.urls.migrator, readCatalogue))).toEqual([]);
  } finally {
    await database.drop();
  }
});
