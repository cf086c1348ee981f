import { createHash } from 'node:crypto';
import fc from 'fast-check';

/** A 31-bit number that depends on the parts alone: what is drawn does not depend on the order of drawing. */
export function seedOf(...parts: readonly (string | number)[]): number {
  return createHash('sha256').update(parts.join('\u0000')).digest().readUInt32BE(0) >>> 1;
}

/** One value of an arbitrary, the same for the same key. Without fast-check's bias for extremes, which would repeat itself in keys. */
export function draw<T>(arbitrary: fc.Arbitrary<T>, ...key: readonly (string | number)[]): T {
  return fc.sample(fc.noBias(arbitrary), { seed: seedOf(...key), numRuns: 1 })[0] as T;
}

/** A letter, a digit, then either: unlike anything that is stored already. By its digit it is known where an answer repeats it. */
export function word(length: number, ...key: readonly (string | number)[]): string {
  const drawn = BigInt(`0x${createHash('sha256').update(key.join('\u0000')).digest('hex')}`);
  return `q${drawn % 10n}${drawn.toString(36)}`.slice(0, length);
}

export function uuid(...key: readonly (string | number)[]): string {
  const hex = createHash('sha256').update(key.join('\u0000')).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
