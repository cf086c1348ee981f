import type { BookObject } from './book.ts';
import { type Change, diffObjects, makerOf } from './changes.ts';
import { dropStatements } from './drop.ts';
import { canonicalText, RECORD } from './history.ts';
import { splitStatements, undoRemoved } from './statements.ts';

/** A line that a person has to replace; no file that holds one runs. */
export const HAND_MARKER = '-- hand:';

/** How every half begins: it waits for no lock for long, and names every schema. */
export const PREAMBLE: string = ["set local lock_timeout = '3s';", "set local search_path = '';"].join('\n');

function inPlace(object: BookObject): string {
  return canonicalText(object.text).replace(/^create (?=(?:trigger|function)\b)/im, 'create or replace ');
}

function undo({ key, from, to }: { key: string; from: BookObject; to: BookObject | undefined }): string[] {
  const { undo: statements, kept, unknown } = undoRemoved(from.text, to?.text ?? '');
  const lines = [...statements, ...kept.map((statement) => `-- Not taken back, it would open a door: ${statement}`)];
  if (from.kind === 'grants') lines.push(...unknown.map((statement) => `${HAND_MARKER} take back: ${statement}`));
  if (lines.length === 0) return [];
  const privileges = statements.some((statement) => /\b(grant|revoke)\b/i.test(statement));
  if (privileges) lines.unshift('-- Privileges: check by hand that no other object of the book grants the same.');
  // Only its owner changes a function, and rowhouse_owner is a member of the sealer that does not inherit.
  const maker = makerOf(from);
  if (maker) lines.splice(0, lines.length, `set local role ${maker};`, ...lines, 'reset role;');
  return [`--@ run undo ${key}\n${lines.join('\n')}`];
}

function quote(text: string, prefix: string): string[] {
  return text.split('\n').map((line) => (prefix + line).trimEnd());
}

function newTail(key: string, from: BookObject, to: BookObject): string {
  const before = splitStatements(from.text);
  const statements = splitStatements(to.text).filter((statement) => !before.includes(statement));
  return [`--@ ${key}`, ...statements.map((statement) => `${statement};`), ...quote(to.text, RECORD)].join('\n');
}

function byHand({ key, from, to }: Change): string {
  const head = to ? `--@ ${key}` : `--@ drop ${key}`;
  return [
    head,
    `${HAND_MARKER} ${key} ${to ? (from ? 'changed' : 'is new') : 'is gone'}: put the statements that do it in place of this line.`,
    ...(to ? ['-- Keep what starts with --= as it is: the record of the new text.'] : []),
    ...(from ? quote(from.text, '--- ') : []),
    ...(to ? quote(to.text, RECORD) : []),
  ].join('\n');
}

/** What goes, before anything comes: in reverse load order. */
function removals(change: Change): string[] {
  const { step, key, from, to } = change;
  if (!from) return [];
  const gone = `--@ drop ${key}`;
  switch (step) {
    case 'rebuild':
      return [`${gone}\n${dropStatements(from)}`];
    case 'replace':
    case 'regrant':
    case 'tail':
      return undo({ key, from, to });
    case 'hand':
      return to ? [] : [byHand(change)];
    default:
      if (from.kind === 'grants') return [...undo({ key, from, to }), gone];
      return [from.kind === 'data' ? `${gone}\n-- The rows go with their table.` : `${gone}\n${dropStatements(from)}`];
  }
}

/** What comes, in load order. */
function additions(change: Change): string[] {
  const { step, key, from, to } = change;
  if (!to) return [];
  if (step === 'hand') return [byHand(change)];
  if (step === 'tail' && from) return [newTail(key, from, to)];
  if (step === 'replace') return [`--@ ${key}\n${inPlace(to)}`];
  return [`--@ ${key}\n${to.text}`];
}

function composeHalf(from: BookObject[], to: BookObject[]): string {
  const changes = diffObjects(from, to);
  const place = (change: Change) => (change.from ? from.indexOf(change.from) : -1);
  const last = changes.toSorted((a, b) => place(b) - place(a));
  return [PREAMBLE, ...last.flatMap(removals), ...changes.flatMap(additions)].join('\n\n');
}

export interface Composed {
  source: string;
  changes: Change[];
}

/**
 * Composes the migration that takes a database from one state of the schema to another; its down half is the same
 * computation with the two sides swapped. Both lists are in load order.
 * @returns undefined where nothing changed.
 */
export function composeMigration(from: BookObject[], to: BookObject[]): Composed | undefined {
  const changes = diffObjects(from, to);
  if (changes.length === 0) return undefined;
  const source = `-- migrate:up\n${composeHalf(from, to)}\n\n-- migrate:down\n${composeHalf(to, from)}\n`;
  return { source, changes };
}

/** An empty migration for a person to fill. */
export const EMPTY_MIGRATION: string = [
  '-- migrate:up',
  PREAMBLE,
  '',
  `${HAND_MARKER} put statements here. Those that make an object of the book go under its identity line, with its whole text.`,
  '',
  '-- migrate:down',
  PREAMBLE,
  '',
  `${HAND_MARKER} put here what takes the up half back, or raise an error with a hint where that would lose data.`,
  '',
].join('\n');
