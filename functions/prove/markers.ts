import type { Row } from './fill/row.ts';
import type { Answer, Call } from './types.ts';

/** A value that only the victim has. `directory`: also what an operator may know. */
export interface Marker {
  text: string;
  directory: boolean;
}

/** Strings and large numbers of a row: what could be told apart from anybody else's. */
export function valuesOf(value: unknown): string[] {
  if (typeof value === 'string') return value.length >= 8 ? [value] : [];
  if (typeof value === 'number') return Math.abs(value) >= 100_000 ? [String(value)] : [];
  if (value !== null && typeof value === 'object') return Object.values(value).flatMap(valuesOf);
  return [];
}

/** Values of the victim's rows that appear in nobody else's. */
export function markersOf(victim: readonly { row: Row; directory: boolean }[], others: readonly Row[]): Marker[] {
  const elsewhere = others.map((row) => JSON.stringify(row)).join('\n');
  const markers = new Map<string, Marker>();
  for (const { row, directory } of victim) {
    for (const text of valuesOf(row)) {
      if (!elsewhere.includes(text))
        markers.set(text, { text, directory: directory || (markers.get(text)?.directory ?? false) });
    }
  }
  return [...markers.values()].toSorted((left, right) => (left.text < right.text ? -1 : 1));
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path.replaceAll('+', ' '));
  } catch {
    return path;
  }
}

/** All that the asker said: an answer that repeats it tells nothing. */
export function said({ path, body, headers }: Call): string {
  return `${path}\n${decoded(path)}\n${typeof body === 'string' ? body : JSON.stringify(body ?? '')}\n${Object.values(headers ?? {}).join('\n')}`;
}

/** The markers that an answer carries without having been told them. */
export function carried(
  { body, headers }: Pick<Answer, 'body' | 'headers'>,
  request: string,
  markers: readonly Marker[],
): string[] {
  const answer = `${body}\n${Object.values(headers).join('\n')}`;
  return markers.filter(({ text }) => answer.includes(text) && !request.includes(text)).map(({ text }) => text);
}

/** An answer without what differs from one request to the next, and without what it repeats of the request. */
export function comparable(answer: Answer, call: Call): string {
  const request = said(call).toLowerCase();
  const words = [...new Set(request.match(/\w[\w.:+-]{3,}/g) ?? [])].toSorted(
    (left, right) => right.length - left.length,
  );
  const told = ['content-range', 'content-type', 'location'].map((name) => answer.headers[name] ?? '');
  let text = [answer.status, ...told, answer.body]
    .join('\n')
    .replace(/"instance":"[^"]*"/g, '')
    .toLowerCase();
  text = text.replace(/\d{4}-\d\d-\d\dt[\d:.+-]+/g, 'T');
  // Positions of the ledger count what everybody writes.
  text = text.replace(/\bevt_\d+/g, 'E').replace(/("position"\s*:\s*)\d+/g, '$1P');
  // A name of the prover's own may have no digit in it.
  for (const word of words) if (/\d|prove/.test(word)) text = text.replaceAll(word, 'V');
  // Secrets and digests are another each time: hexadecimal, or 32 bytes in base64.
  text = text.replace(/[0-9a-f]{16,}|[a-z0-9+/]{43}=/g, 'H');
  return text.replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'U');
}
