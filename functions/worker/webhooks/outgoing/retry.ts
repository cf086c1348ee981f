import type { Outcome } from './outcome.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** How long each attempt waits after the one before it: ten in about 75 hours, the example of Standard Webhooks 1.0. */
export const SCHEDULE_MS: readonly number[] = [
  0,
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
];

/** A receiver can put an attempt off for no longer than the schedule itself would. */
export const LONGEST_RETRY_AFTER_SECONDS = 86_400;
/** Waits are spread over ±10 %, so that what failed together does not come back together. */
const JITTER = 0.1;

export function isSuccess(outcome: Outcome): boolean {
  return outcome.kind === 'response' && outcome.status >= 200 && outcome.status <= 299;
}

/**
 * Whether the receiver seems to have more than it can do, so that it should get less: 429, 502, 503, 504 (Standard Webhooks), and
 * no answer in time, which also takes a place of ours for all of that time.
 */
export function isThrottle(outcome: Outcome): boolean {
  if (outcome.kind === 'response') return [429, 502, 503, 504].includes(outcome.status);
  return outcome.reason === 'response_timeout' || outcome.reason === 'connect_timeout';
}

/**
 * What becomes of a delivery after a failed attempt: the next one, none (`dead`), or none for the endpoint at all (`gone`: it
 * answered 410). A `Retry-After` makes the wait longer, never shorter.
 * @param failedAttempts with this one: 1 or more
 * @param scale of the schedule; below 1 in tests that cannot wait for days
 */
export function nextAttempt(
  failedAttempts: number,
  outcome: Outcome,
  random: () => number = Math.random,
  scale = 1,
): { afterMs: number } | 'dead' | 'gone' {
  if (isSuccess(outcome)) throw new RangeError('a delivery that succeeded has no next attempt');
  if (outcome.kind === 'response' && outcome.status === 410) return 'gone';
  const wait = SCHEDULE_MS[Math.max(1, failedAttempts)];
  if (wait === undefined) return 'dead';
  const spread = random();
  const scheduled = wait * scale * (1 - JITTER + 2 * JITTER * spread);
  const asked = outcome.kind === 'response' ? (outcome.retryAfterSeconds ?? 0) * SECOND : 0;
  // Never before the moment that the receiver named.
  return { afterMs: Math.round(Math.max(scheduled, asked * (1 + JITTER * spread))) };
}

const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec';
/** The three forms of RFC 9110, section 5.6.7: a recipient takes all of them. Only asctime lacks the zone. */
const HTTP_DATE = new RegExp(
  `^(?:\\w{3}, \\d\\d (?:${MONTHS.replaceAll(' ', '|')}) \\d{4}|\\w{6,9}, \\d\\d-(?:${MONTHS.replaceAll(' ', '|')})-\\d\\d) \\d\\d:\\d\\d:\\d\\d GMT$`,
);
const ASCTIME = new RegExp(`^\\w{3} (?:${MONTHS.replaceAll(' ', '|')}) [ \\d]\\d \\d\\d:\\d\\d:\\d\\d \\d{4}$`);

/**
 * Seconds to wait, from a Retry-After (RFC 9110, section 10.2.3): a number of seconds, or a date.
 * @returns null where it is neither; at most LONGEST_RETRY_AFTER_SECONDS
 */
export function parseRetryAfter(value: string | undefined, now = Date.now()): number | null {
  const text = value?.trim() ?? '';
  const date = HTTP_DATE.test(text) ? Date.parse(text) : ASCTIME.test(text) ? Date.parse(`${text} GMT`) : Number.NaN;
  const seconds = /^\d+$/.test(text) ? Number(text) : Math.ceil((date - now) / SECOND);
  return Number.isNaN(seconds) ? null : Math.min(Math.max(seconds, 0), LONGEST_RETRY_AFTER_SECONDS);
}
