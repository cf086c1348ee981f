import { InvalidArgumentError } from 'commander';

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/**
 * Reads a duration such as 90s, 15m, 12h or 7d.
 * @returns seconds
 * @throws InvalidArgumentError for anything else, zero included
 */
export function parseDuration(text: string): number {
  const [, amount, unit] = /^([1-9]\d{0,8})([smhd])$/.exec(text) ?? [];
  if (!amount || !unit) throw new InvalidArgumentError('Write a number and a unit: 90s, 15m, 12h or 7d.');
  return Number(amount) * SECONDS[unit as keyof typeof SECONDS];
}

/** Reads a whole number from 1 on. */
export function parseCount(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('Write a whole number from 1 on.');
  return Number(text);
}
