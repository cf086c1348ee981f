import type { IncomingHttpHeaders } from 'node:http';
import { RowhouseError } from '../../errors.ts';
import type { Selection } from './reader.ts';

/** Which events a client asks for, and from where on. */
export interface Wanted {
  /** Patterns: a type, what a type begins with and `.*`, or `*`. Null: all. */
  types: readonly string[] | null;
  subject: string | null;
  /** The event that it has seen last; null: from now on. */
  after: number | null;
}

const MOST_TYPES = 32;
const PATTERN = /^(?:\*|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*(?:\.\*)?)$/i;
const PATTERN_LENGTH = 200;
const SUBJECT_LENGTH = 1024;
const EVENT_ID = /^evt_(0|[1-9]\d{0,15})$/;
const PARAMETERS = new Set(['types', 'subject', 'last_event_id']);

const invalid = (detail: string, hint?: string) =>
  new RowhouseError('request_invalid', { detail, ...(hint && { hint }) });

function typesOf(list: string): string[] {
  const types = list.split(',').map((pattern) => pattern.trim());
  if (types.length > MOST_TYPES) throw invalid(`types: at most ${MOST_TYPES}.`);
  for (const pattern of types) {
    if (pattern.length > PATTERN_LENGTH || !PATTERN.test(pattern)) {
      throw invalid('types: not a type of events.', 'Such as app.jobs.inserted, app.jobs.* or *, with commas between.');
    }
  }
  return types;
}

function positionOf(id: string): number {
  const digits = EVENT_ID.exec(id)?.[1];
  const position = Number(digits ?? Number.NaN);
  if (!Number.isSafeInteger(position)) {
    throw invalid(
      'Last-Event-ID: not the id of an event.',
      'Send the id of the last event that you have seen, evt_… as it was.',
    );
  }
  return position;
}

/**
 * Reads the query and the Last-Event-ID header. The header is what a browser adds when it comes back by itself, to the same URL: it is
 * newer than what that URL says.
 * @throws RowhouseError request_invalid
 */
export function wantedOf(query: string, headers: IncomingHttpHeaders): Wanted {
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys()) {
    if (!PARAMETERS.has(name))
      throw invalid('A parameter is not known.', 'There are types, subject and last_event_id.');
    if (parameters.getAll(name).length > 1) throw invalid(`${name}: given more than once.`);
  }
  const types = parameters.get('types');
  const subject = parameters.get('subject');
  if (subject !== null && (subject === '' || subject.length > SUBJECT_LENGTH)) {
    throw invalid(`subject: 1 to ${SUBJECT_LENGTH} characters.`);
  }
  const header = headers['last-event-id'];
  const last = typeof header === 'string' ? header : parameters.get('last_event_id');
  return {
    types: types === null ? null : typesOf(types),
    subject,
    after: last === null ? null : positionOf(last),
  };
}

export interface Filter {
  /** The same for all that let the same events through. */
  key: string;
  /** The same, for the database. */
  selection: Selection | null;
  matches(type: string, subject: string | null): boolean;
}

export function filterOf({ types, subject }: Wanted): Filter {
  const all = types === null || types.includes('*');
  const exact = new Set(types);
  const beginnings = (types ?? []).filter((type) => type.endsWith('.*')).map((type) => type.slice(0, -1));
  const matchesType = (type: string) => all || exact.has(type) || beginnings.some((start) => type.startsWith(start));
  // A pattern has no backslash and no percent sign.
  const likes = (types ?? []).map((type) => type.replaceAll('_', '\\_').replace(/\*$/, '%'));
  return {
    selection: all && subject === null ? null : { types: all ? null : likes, subject },
    key: JSON.stringify([all ? null : [...exact].sort(), subject]),
    matches: (type, about) => (subject === null || subject === about) && matchesType(type),
  };
}
