import { type BookObject, keyOf } from './book.ts';
import { canonicalText } from './history.ts';
import { splitStatements } from './statements.ts';

/**
 * How an object gets from one text to another. `replace`: in place; `rebuild`: drop and create; `tail`: only its comments and
 * grants changed; `hand`: only a person can say.
 */
export type Step = 'create' | 'drop' | 'replace' | 'rebuild' | 'regrant' | 'tail' | 'hand';

export interface Change {
  step: Step;
  key: string;
  from: BookObject | undefined;
  to: BookObject | undefined;
}

/** Parameters and result, up to the first attribute: PostgreSQL replaces a function in place only if these stay. */
function signature(text: string): string {
  const head =
    /create function[\s\S]*?(?=^\s*(?:language|stable|immutable|volatile|security|set|parallel|as|begin|return)\b)/im;
  return (head.exec(text)?.[0] ?? '').replaceAll(/\s+/g, ' ').trim();
}

/** The role that makes a function, where its text takes one first. */
export function makerOf(object: BookObject): string | undefined {
  return /^set (?:local )?role (\S+)$/i.exec(splitStatements(object.text)[0] ?? '')?.[1];
}

function withoutTail(text: string): string {
  return splitStatements(text)
    .filter((statement) => !/^(comment on|grant|revoke)\b/i.test(statement))
    .join(';');
}

function stepFor(from: BookObject, to: BookObject): Step {
  switch (to.kind) {
    case 'view':
    case 'policy':
      return 'rebuild';
    case 'function':
      return signature(from.text) === signature(to.text) && makerOf(from) === makerOf(to) ? 'replace' : 'rebuild';
    case 'trigger':
      // `create or replace constraint trigger` does not exist.
      return /^create constraint trigger/im.test(from.text + to.text) ? 'rebuild' : 'replace';
    case 'grants':
      return 'regrant';
    case 'data':
      return 'hand';
    default:
      return withoutTail(from.text) === withoutTail(to.text) ? 'tail' : 'hand';
  }
}

/** Whether the text of a reference row set names a table that goes away with it. */
function goesWithItsTable(data: BookObject, gone: BookObject[]): boolean {
  const tables = [...data.text.matchAll(/^\s*insert into (\S+)/gim)].map((match) => match[1]);
  return tables.length > 0 && tables.every((name) => gone.some((o) => o.kind === 'table' && o.identity === name));
}

/**
 * What differs between two states of the schema. Changes of the new state stand in its order, then what is gone.
 */
export function diffObjects(from: BookObject[], to: BookObject[]): Change[] {
  const before = new Map(from.map((object) => [keyOf(object), object]));
  const after = new Map(to.map((object) => [keyOf(object), object]));
  const gone = from.filter((object) => !after.has(keyOf(object)));
  const changes: Change[] = [];
  for (const [key, object] of after) {
    const old = before.get(key);
    if (!old) changes.push({ step: 'create', key, from: undefined, to: object });
    else if (canonicalText(old.text) !== canonicalText(object.text)) {
      changes.push({ step: stepFor(old, object), key, from: old, to: object });
    }
  }
  for (const object of gone) {
    const step = object.kind === 'data' && !goesWithItsTable(object, gone) ? 'hand' : 'drop';
    changes.push({ step, key: keyOf(object), from: object, to: undefined });
  }
  return changes;
}

/**
 * Objects of a history in load order: those still in the book in the book's order, each of the others after the object
 * that it followed when it was made.
 */
export function inLoadOrder(history: BookObject[], book: BookObject[]): BookObject[] {
  const rank = new Map(book.map((object, index) => [keyOf(object), index]));
  let last = -1;
  const ranked = history.map((object, index) => {
    last = rank.get(keyOf(object)) ?? last;
    return { object, rank: last, gone: rank.has(keyOf(object)) ? 0 : 1, index };
  });
  ranked.sort((a, b) => a.rank - b.rank || a.gone - b.gone || a.index - b.index);
  return ranked.map(({ object }) => object);
}
