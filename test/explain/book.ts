import { connected } from '../../functions/database.ts';
import { applyBook, readBook } from '../../functions/migrate/book.ts';
import type { TestStack } from '../support/stack.ts';

/** Puts the chapters of explain, as the book has them, into a database whose migrations may hold none or earlier ones. */
export async function addExplain(stack: TestStack): Promise<void> {
  const chapters = (await readBook()).filter(({ file }) => /\/explain\w*\.sql$/.test(file));
  const replacing = chapters.map((object) => ({
    ...object,
    text: object.text.replace(/^create function/, 'create or replace function'),
  }));
  await connected(stack.database.migrator, async (client) => {
    await applyBook(client, replacing);
    await client.query(`notify pgrst, 'reload schema'`);
  });
}
