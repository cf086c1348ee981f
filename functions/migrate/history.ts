import type { BookObject } from './book.ts';
import { IDENTITY_LINE, keyOf, parseIdentity } from './book.ts';
import type { MigrationFile } from './files.ts';

/**
 * The text under an identity line of an up half is the object's new text. Three heads of a migration are not in the book:
 * `--@ drop <identity>`: the object is gone; `--@ run <words>`: statements that belong to no object;
 * and where a person wrote how to get from the old text to the new one, the new text stands beside it in `--= ` lines.
 */
export const RECORD = '--= ';

/** In place or not, it is the same function: `or replace` is no part of an object's text. */
export function canonicalText(text: string): string {
  return text.replace(/^create or replace ((?:constraint )?trigger|function)\b/im, 'create $1');
}

function recordedText(block: string[]): string {
  const record = block.filter((line) => line.startsWith(RECORD.trimEnd()));
  const lines = record.length > 0 ? record.map((line) => line.slice(RECORD.length)) : block;
  return canonicalText(lines.join('\n').trim());
}

function withoutTrailingSpace(source: string): string[] {
  return source.split('\n').map((line) => line.trimEnd());
}

/**
 * What the migrations have built so far: the latest text of each object, in the order of first creation.
 * @throws RowhouseError book_invalid naming the migration and line of an identity that is not one.
 */
export function readHistory(migrations: MigrationFile[]): BookObject[] {
  const objects = new Map<string, BookObject>();
  for (const { file, up } of migrations) {
    let current: { object: BookObject; block: string[] } | undefined;
    const close = () => {
      if (current) objects.set(keyOf(current.object), { ...current.object, text: recordedText(current.block) });
      current = undefined;
    };
    for (const [index, line] of withoutTrailingSpace(up).entries()) {
      const words = IDENTITY_LINE.exec(line)?.[1];
      if (words === undefined) {
        current?.block.push(line);
        continue;
      }
      close();
      // The up half starts on the second line of its file.
      const at = index + 2;
      if (words.startsWith('run ')) continue;
      if (words.startsWith('drop ')) objects.delete(keyOf(parseIdentity(words.slice(5), file, at)));
      else current = { object: { ...parseIdentity(words, file, at), text: '', file, line: at }, block: [] };
    }
    close();
  }
  return [...objects.values()];
}
