import { readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { Client } from 'pg';
import { RowhouseError } from '../errors.ts';
import { packageRoot } from '../paths.ts';

/** The kinds of objects that the book may hold, each with the form of its identity. */
const NAME = '(?:[a-z_][a-z0-9_]*|"(?:[^"]|"")+")';
const QUALIFIED = String.raw`${NAME}\.${NAME}`;
const FORMS = {
  schema: NAME,
  domain: QUALIFIED,
  table: QUALIFIED,
  function: String.raw`${QUALIFIED}\(.*\)`,
  view: QUALIFIED,
  policy: `${NAME} on ${QUALIFIED}`,
  trigger: `${NAME} on ${QUALIFIED}`,
  grants: String.raw`\S.*`,
  data: String.raw`\S.*`,
} as const;

export type ObjectKind = keyof typeof FORMS;

/** One object of the schema: what it is, and the whole text that makes it, its tail included. */
export interface BookObject {
  kind: ObjectKind;
  /** What follows the kind in the identity line, such as `app.start_job(uuid)`: valid after `drop`. */
  identity: string;
  text: string;
  file: string;
  line: number;
}

export const IDENTITY_LINE = /^--@\s+(.*?)\s*$/;

/** `function app.start_job(uuid)`: the key of an object in the book and in the history. */
export function keyOf(object: { kind: ObjectKind; identity: string }): string {
  return `${object.kind} ${object.identity}`;
}

function invalid(file: string, line: number, detail: string, hint?: string): RowhouseError {
  return new RowhouseError('book_invalid', { detail: `${file}:${line}: ${detail}`, ...(hint ? { hint } : {}) });
}

/**
 * Reads what follows `--@`.
 * @throws RowhouseError book_invalid where the kind is unknown or the identity does not have that kind's form.
 */
export function parseIdentity(words: string, file: string, line: number): { kind: ObjectKind; identity: string } {
  const [kind = '', ...rest] = words.split(/\s+/);
  const identity = rest.join(' ').replaceAll(/\s*,\s*/g, ', ');
  if (!Object.hasOwn(FORMS, kind)) {
    throw invalid(file, line, `unknown kind "${kind}"`, `Known kinds: ${Object.keys(FORMS).join(', ')}.`);
  }
  if (!new RegExp(`^${FORMS[kind as ObjectKind]}$`).test(identity)) {
    throw invalid(file, line, `"${identity}" does not identify a ${kind}`, 'Write it as it stands after "drop".');
  }
  return { kind: kind as ObjectKind, identity };
}

/**
 * Cuts one file of the book into its objects, in order.
 * @throws RowhouseError book_invalid with file and line: unknown kind, or a statement before the first identity line.
 */
export function parseObjects(source: string, file: string): BookObject[] {
  const objects: BookObject[] = [];
  for (const [index, line] of source.split('\n').entries()) {
    const words = IDENTITY_LINE.exec(line)?.[1];
    const current = objects.at(-1);
    if (words !== undefined) {
      objects.push({ ...parseIdentity(words, file, index + 1), text: '', file, line: index + 1 });
    } else if (current) {
      current.text += `${line.trimEnd()}\n`;
    } else if (line.trim() !== '' && !line.startsWith('--')) {
      throw invalid(
        file,
        index + 1,
        'a statement before the first identity line',
        'Open each object with: --@ kind name',
      );
    }
  }
  for (const object of objects) {
    object.text = object.text.trim();
    if (object.text === '') throw invalid(file, object.line, `${keyOf(object)} has no text`);
  }
  return objects;
}

export const bookIndex: string = join(packageRoot, 'sql/index.sql');

/**
 * Reads the book in load order: the files that `index` names in its `\ir` lines, cut into objects.
 * @throws RowhouseError book_invalid with file and line, also for two objects of the same identity.
 */
export async function readBook(index: string = bookIndex): Promise<BookObject[]> {
  const root = dirname(dirname(index));
  const objects: BookObject[] = [];
  const seen = new Map<string, BookObject>();
  const listing = await readFile(index, 'utf8');
  for (const [number, line] of listing.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('--')) continue;
    const name = /^\\ir\s+([\w./-]+)\s*$/.exec(line)?.[1];
    if (!name) throw invalid(relative(root, index), number + 1, `not an \\ir line: ${line.trim()}`);
    const path = join(dirname(index), name);
    const source = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
      throw invalid(relative(root, index), number + 1, `cannot read ${name} (${cause.code})`);
    });
    for (const object of parseObjects(source, relative(root, path))) {
      const first = seen.get(keyOf(object));
      if (first) {
        const where = `${first.file}:${first.line}`;
        throw invalid(object.file, object.line, `${keyOf(object)} is already defined at ${where}`);
      }
      seen.set(keyOf(object), object);
      objects.push(object);
    }
  }
  return objects;
}

/**
 * Builds a database from the book in one transaction, as the connection's role.
 * @throws RowhouseError book_invalid naming the object's file and line and PostgreSQL's message.
 */
export async function applyBook(client: Client, objects: BookObject[]): Promise<void> {
  await client.query("begin; set local search_path = ''");
  try {
    for (const object of objects) {
      await client.query(object.text).catch((cause: Error & { position?: string }) => {
        const before = object.text.slice(0, Number(cause.position ?? 0)).split('\n').length;
        throw new RowhouseError('book_invalid', {
          detail: `${object.file}:${object.line + before}: ${keyOf(object)}: ${cause.message}`,
          cause,
        });
      });
    }
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
}
