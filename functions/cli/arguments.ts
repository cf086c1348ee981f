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

const UUID = /^[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}$/i;

/** Reads the id of a row, a UUID. */
export function parseId(text: string): string {
  if (!UUID.test(text)) throw new InvalidArgumentError('Write an id such as 0199f3c1-7c1e-7000-8000-5a0c7f1d2e3b.');
  return text.toLowerCase();
}

/** Reads the position of an event, `17`, or its id, `evt_17`. Returns the digits: there are more of them than a number holds. */
export function parsePosition(text: string): string {
  const [, digits] = /^(?:evt_)?(\d{1,18})$/.exec(text) ?? [];
  if (digits === undefined) throw new InvalidArgumentError('Write a position, 17, or the id of an event, evt_17.');
  return digits;
}

/** Collects types of events, in which * stands for any characters. */
export function collectEventTypes(text: string, before: string[]): string[] {
  if (!/^[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*$/.test(text))
    throw new InvalidArgumentError("Write types such as order.paid, 'order.*' or '*.deleted'.");
  return [...before, text];
}
