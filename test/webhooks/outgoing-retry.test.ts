import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { FailureReason, Outcome } from '../../functions/worker/webhooks/outgoing/outcome.ts';
import {
  isSuccess,
  isThrottle,
  LONGEST_RETRY_AFTER_SECONDS,
  nextAttempt,
  parseRetryAfter,
  SCHEDULE_MS,
} from '../../functions/worker/webhooks/outgoing/retry.ts';

const response = (status: number, retryAfterSeconds: number | null = null): Outcome => ({
  kind: 'response',
  status,
  retryAfterSeconds,
  body: '',
  latencyMs: 1,
});
const failed = (reason: FailureReason): Outcome => ({ kind: 'failed', reason, detail: '', latencyMs: 1 });
const REASONS: FailureReason[] = [
  'address_refused',
  'request_invalid',
  'dns_failed',
  'connect_timeout',
  'connect_failed',
  'tls_failed',
  'response_timeout',
  'reset',
  'response_invalid',
];

const failures = fc.oneof(
  fc
    .tuple(
      fc.integer({ min: 100, max: 999 }).filter((status) => (status < 200 || status > 299) && status !== 410),
      fc.option(fc.integer({ min: 0, max: LONGEST_RETRY_AFTER_SECONDS })),
    )
    .map(([status, retryAfter]) => response(status, retryAfter)),
  fc.constantFrom(...REASONS).map(failed),
);
const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('the next attempt', () => {
  test('is one of ten, over about 75 hours', () => {
    expect(SCHEDULE_MS).toHaveLength(10);
    expect(SCHEDULE_MS.reduce((sum, wait) => sum + wait, 0)).toBe((75 * 3600 + 35 * 60 + 5) * 1000);
    for (let failedAttempts = 1; failedAttempts < 10; failedAttempts++) {
      const next = nextAttempt(failedAttempts, response(500), () => 0.5);
      expect(next).toEqual({ afterMs: SCHEDULE_MS[failedAttempts] });
    }
    expect(nextAttempt(10, response(500))).toBe('dead');
  });

  test('waits as scheduled, give or take a tenth, and as long as the receiver asked', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), failures, randoms, (failedAttempts, outcome, random) => {
        const next = nextAttempt(failedAttempts, outcome, () => random);
        if (typeof next === 'string') throw new Error(next);
        const wait = SCHEDULE_MS[failedAttempts] as number;
        const asked = outcome.kind === 'response' ? (outcome.retryAfterSeconds ?? 0) * 1000 : 0;
        expect(Number.isInteger(next.afterMs)).toBe(true);
        expect(next.afterMs).toBeGreaterThanOrEqual(Math.max(asked, Math.floor(wait * 0.9)));
        expect(next.afterMs).toBeLessThanOrEqual(Math.ceil(Math.max(wait, asked) * 1.1));
      }),
    );
  });

  test('comes never after the last one, whatever the receiver says', () => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 1000 }), failures, randoms, (failedAttempts, outcome, random) => {
        expect(nextAttempt(failedAttempts, outcome, () => random)).toBe('dead');
      }),
    );
  });

  test('is spread', () => {
    const waits = Array.from({ length: 200 }, () => nextAttempt(2, response(503)) as { afterMs: number });
    const seconds = waits.map(({ afterMs }) => afterMs / 1000);
    expect(new Set(seconds).size).toBeGreaterThan(100);
    expect(Math.max(...seconds) - Math.min(...seconds)).toBeGreaterThan(30);
  });

  test('is none for an endpoint that is gone, at any attempt', () => {
    for (const failedAttempts of [1, 5, 10]) expect(nextAttempt(failedAttempts, response(410, 60))).toBe('gone');
  });

  test('is no question after a success', () => {
    for (const status of [200, 204, 299]) {
      expect(isSuccess(response(status))).toBe(true);
      expect(() => nextAttempt(1, response(status))).toThrow(RangeError);
    }
    for (const status of [199, 300, 302, 404, 500]) expect(isSuccess(response(status))).toBe(false);
  });
});

test('a receiver that has too much to do gets less', () => {
  const statuses = [200, 301, 400, 404, 410, 429, 500, 501, 502, 503, 504, 505];
  expect(statuses.filter((status) => isThrottle(response(status)))).toEqual([429, 502, 503, 504]);
  expect(REASONS.filter((reason) => isThrottle(failed(reason)))).toEqual(['connect_timeout', 'response_timeout']);
});

describe('Retry-After', () => {
  const now = Date.UTC(1994, 10, 6, 8, 49, 7);

  test.each([
    ['0', 0],
    ['120', 120],
    [' 7 ', 7],
    ['86401', 86_400],
    ['99999999999999999999999999', 86_400],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 30],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 30],
    ['Sun Nov  6 08:49:37 1994', 30],
    ['Sun, 06 Nov 1994 08:49:00 GMT', 0],
    ['Fri, 31 Dec 9999 23:59:59 GMT', 86_400],
    ['Sun, 99 Nov 1994 08:49:37 GMT', null],
    ['Sun, 06 Nov 1994 08:49:37', null],
    ['-1', null],
    ['1.5', null],
    ['1e3', null],
    ['0x10', null],
    ['soon', null],
    ['', null],
    [undefined, null],
  ])('%j is %j', (text, seconds) => {
    expect(parseRetryAfter(text, now)).toBe(seconds);
  });

  test('is a whole number within a day, or nothing, whatever is sent', () => {
    const texts = fc.oneof(fc.string(), fc.nat().map(String), fc.date().map(String), fc.bigInt().map(String));
    fc.assert(
      fc.property(texts, (text) => {
        const seconds = parseRetryAfter(text, now);
        if (seconds === null) return;
        expect(Number.isInteger(seconds) && seconds >= 0 && seconds <= LONGEST_RETRY_AFTER_SECONDS).toBe(true);
      }),
    );
  });

  test('as a date is that moment, in every form', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 86_400 }), (seconds) => {
        expect(parseRetryAfter(new Date(now + seconds * 1000).toUTCString(), now)).toBe(seconds);
      }),
    );
  });
});
