import { createHash } from 'node:crypto';
import type { Kind } from './types.ts';

/** The same proposal has the same id in every run. */
export function idOf(kind: Kind, definition: string): string {
  return `${kind}-${createHash('sha256').update(definition).digest('hex').slice(0, 8)}`;
}

/** The schema of a qualified name, quoted as it is there. */
export const schemaOf = (qualified: string): string => /^("(?:[^"]|"")+"|[^.]+)\./.exec(qualified)?.[1] ?? 'public';

/** What follows the schema, without quotes. */
export const shortNameOf = (qualified: string): string =>
  qualified
    .slice(schemaOf(qualified).length + 1)
    .replace(/^"(.*)"$/, (_, inner: string) => inner.replaceAll('""', '"'));

/** NAMEDATALEN - 1. */
const NAME_BYTES = 63;

/** `app.jobs_p27_tune_1f2e3d4c`: an index that this program has made can be told by its name, even where no record of it is left. */
export function objectName(partition: string, id: string): string {
  const suffix = `_tune_${id.slice(-8)}`;
  const name = shortNameOf(partition).slice(0, NAME_BYTES - suffix.length) + suffix;
  return `${schemaOf(partition)}.${/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`}`;
}

export const MADE_NAME = '_tune_[0-9a-f]{8}$';
