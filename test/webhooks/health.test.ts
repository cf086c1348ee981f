import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { admits, type Health, isHopeless, newHealth, observe } from '../../functions/worker/webhooks/health.ts';
import type { FailureReason, Outcome } from '../../functions/worker/webhooks/outgoing/outcome.ts';

// What the attempts at an endpoint do to its circuit and to its window, without anything that is sent.

const LIMITS = { circuitFailures: 3, circuitOpenMs: 1000, disableAfterMs: 60_000, disableAttempts: 5 };
const NOW = 1_700_000_000_000;
const MINUTE = 60_000;

const answer = (status: number, retryAfterSeconds: number | null = null): Outcome => ({
  kind: 'response',
  status,
  retryAfterSeconds,
  body: '',
  latencyMs: 1,
});
const failed = (reason: FailureReason): Outcome => ({ kind: 'failed', reason, detail: 'why', latencyMs: 1 });
const see = (health: Health, outcome: Outcome, now = NOW) => observe(health, outcome, now, LIMITS);

/** After so many failures that are no sign of too much to do. */
function failing(failures: number): Health {
  const health = newHealth();
  for (let nth = 0; nth < failures; nth += 1) see(health, answer(500));
  return health;
}

/** One that was probed so often, and failed each time. When its next probe is due, it is `health.pausedUntil`. */
function openedTimes(times: number): Health {
  const health = failing(LIMITS.circuitFailures);
  for (let nth = 1; nth < times; nth += 1) {
    const at = health.pausedUntil;
    admits(health, 0, at);
    see(health, answer(500), at);
  }
  return health;
}

// Without jitter: 0.9 + 0.2 * 0.5.
beforeEach(() => void vi.spyOn(Math, 'random').mockReturnValue(0.5));
afterEach(() => void vi.restoreAllMocks());

describe('the circuit', () => {
  test('opens with the last of so many failures in a row, and not before', () => {
    const health = failing(LIMITS.circuitFailures - 1);
    expect(health).toMatchObject({ circuit: 'closed', opened: 0, pausedUntil: 0, failures: 2 });
    expect(admits(health, 0, NOW)).toBe(true);
    see(health, answer(500));
    expect(health).toMatchObject({ circuit: 'open', opened: 1, pausedUntil: NOW + 1000, failures: 3 });
    expect(admits(health, 0, NOW)).toBe(false);
  });

  test('stays closed where one in between succeeds', () => {
    const health = failing(LIMITS.circuitFailures - 1);
    see(health, answer(200));
    for (let nth = 1; nth < LIMITS.circuitFailures; nth += 1) see(health, answer(500));
    expect(health).toMatchObject({ circuit: 'closed', failures: 2 });
  });

  test('lets nothing through while it is open, then one at a time', () => {
    const health = openedTimes(1);
    expect(admits(health, 0, NOW + 999)).toBe(false);
    expect(health.circuit).toBe('open');
    expect(admits(health, 0, NOW + 1000)).toBe(true);
    expect(health.circuit).toBe('half_open');
    expect([1, 2, 15].map((underWay) => admits(health, underWay, NOW + 1000))).toEqual([false, false, false]);
  });

  test('lets none through beside one that was under way when it opened', () => {
    const health = openedTimes(1);
    expect(admits(health, 1, NOW + 1000)).toBe(false);
    expect(admits(health, 0, NOW + 1000)).toBe(true);
  });

  test.each([
    [1, 1000],
    [2, 2000],
    [3, 4000],
    [6, 32_000],
    [11, 1_024_000],
    [12, 30 * MINUTE],
    [13, 30 * MINUTE],
    [40, 30 * MINUTE],
  ])('is open the %ith time for %i ms', (times, ms) => {
    const before = openedTimes(times - 1 || 1);
    const at = times === 1 ? NOW : before.pausedUntil;
    expect(openedTimes(times)).toMatchObject({ circuit: 'open', opened: times, pausedUntil: at + ms });
  });

  test.each([
    [0, 900],
    [1, 1100],
  ])('is open for a tenth more or less: %d is %i ms', (random, ms) => {
    vi.spyOn(Math, 'random').mockReturnValue(random);
    expect(openedTimes(1).pausedUntil).toBeCloseTo(NOW + ms, 3);
  });

  test('is not opened again by what was under way when it opened', () => {
    const health = openedTimes(1);
    see(health, answer(500), NOW + 500);
    expect(health).toMatchObject({ circuit: 'open', opened: 1, pausedUntil: NOW + 1000, failures: 4 });
  });

  test.each(['open', 'half_open'] as const)('that is %s is closed by one success, with a clean slate', (circuit) => {
    const health = openedTimes(4);
    const at = circuit === 'open' ? health.pausedUntil - 1 : health.pausedUntil;
    admits(health, 0, at);
    expect(health.circuit).toBe(circuit);
    expect(see(health, answer(200), at)).toBe(true);
    const clean = { circuit: 'closed', opened: 0, pausedUntil: 0, failingSince: null, failures: 0, lastError: null };
    expect(health).toMatchObject({ ...clean, throttled: 0 });
    expect(admits(health, 1, at)).toBe(true);
    for (let nth = 0; nth < LIMITS.circuitFailures; nth += 1) see(health, answer(500), at);
    expect(health).toMatchObject({ circuit: 'open', opened: 1, pausedUntil: at + 1000 });
  });
});

describe('the window', () => {
  test('is how many are under way at once', () => {
    const health = newHealth();
    expect([0, 15, 16].map((underWay) => admits(health, underWay, NOW))).toEqual([true, true, false]);
  });

  test.each<[string, Outcome]>([
    ['429', answer(429)],
    ['502', answer(502)],
    ['503', answer(503)],
    ['504', answer(504)],
    ['no answer in time', failed('response_timeout')],
    ['no connection in time', failed('connect_timeout')],
  ])('is halved by %s, down to one', (_what, outcome) => {
    const health = newHealth();
    const windows = Array.from({ length: 6 }, () => {
      see(health, outcome);
      return health.window;
    });
    expect(windows).toEqual([8, 4, 2, 1, 1, 1]);
    expect(admits(health, 0, health.pausedUntil)).toBe(true);
  });

  test.each<[string, Outcome]>([
    ['400', answer(400)],
    ['500', answer(500)],
    ['302', answer(302)],
    ['a reset', failed('reset')],
    ['a refused connection', failed('connect_failed')],
  ])('is left as it is by %s, and nothing is held up', (_what, outcome) => {
    const health = newHealth();
    see(health, outcome);
    expect(health).toMatchObject({ window: 16, pausedUntil: 0, throttled: 0 });
  });

  test('grows by what succeeds, by one for each quarter of it, up to 128', () => {
    const health = newHealth();
    see(health, answer(429));
    const places = () => [7, 8, 9].map((underWay) => admits(health, underWay, health.pausedUntil));
    expect(places()).toEqual([true, false, false]);
    for (let nth = 0; nth < 2; nth += 1) see(health, answer(200));
    expect(places()).toEqual([true, false, false]);
    see(health, answer(200));
    expect(places()).toEqual([true, true, false]);
    for (let nth = 0; nth < 10_000; nth += 1) see(health, answer(200));
    expect(health.window).toBe(128);
    expect([127, 128].map((underWay) => admits(health, underWay, health.pausedUntil))).toEqual([true, false]);
  });
});

describe('a receiver that has too much to do gets nothing', () => {
  /** Of the circuit nothing is to be seen here. */
  const noCircuit = { ...LIMITS, circuitFailures: 1000 };
  const throttle = (health: Health, now: number, retryAfter: number | null = null) =>
    observe(health, answer(429, retryAfter), now, noCircuit);

  test('for half a second, doubled each time, up to a minute', () => {
    const health = newHealth();
    let now = NOW;
    const pauses = Array.from({ length: 9 }, () => {
      throttle(health, now);
      const pause = health.pausedUntil - now;
      expect(admits(health, 0, health.pausedUntil - 1)).toBe(false);
      expect(admits(health, 0, health.pausedUntil)).toBe(true);
      now = health.pausedUntil;
      return pause;
    });
    expect(pauses).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 32_000, MINUTE, MINUTE]);
  });

  test('for twice as long, and no longer, after those that were under way together said it together', () => {
    const health = newHealth();
    for (let nth = 0; nth < 8; nth += 1) throttle(health, NOW + nth);
    const then = health.pausedUntil;
    throttle(health, then);
    expect(health.pausedUntil).toBe(then + 1000);
  });

  test('for half a second again, after one that succeeded', () => {
    const health = newHealth();
    throttle(health, NOW);
    throttle(health, health.pausedUntil);
    const then = health.pausedUntil;
    observe(health, answer(200), then, noCircuit);
    throttle(health, then);
    expect(health.pausedUntil).toBe(then + 500);
  });

  test.each([
    [0, 500],
    [2, 2000],
    [600, 10 * MINUTE],
    [601, 10 * MINUTE],
    [86_400, 10 * MINUTE],
  ])('for as long as it says, up to ten minutes: Retry-After %i is %i ms', (retryAfter, ms) => {
    const health = newHealth();
    throttle(health, NOW, retryAfter);
    expect(health.pausedUntil).toBe(NOW + ms);
  });

  test('before the last moment that it named', () => {
    const health = newHealth();
    throttle(health, NOW, 300);
    throttle(health, NOW + 1, 2);
    expect(health.pausedUntil).toBe(NOW + 300_000);
  });

  test('for ten minutes also where that is longer than its circuit is open', () => {
    const health = failing(LIMITS.circuitFailures - 1);
    see(health, answer(503, 86_400));
    expect(health).toMatchObject({ circuit: 'open', pausedUntil: NOW + 10 * MINUTE });
  });
});

describe('what others have to know', () => {
  test('is every failure, and the end of them', () => {
    const health = newHealth();
    const changes = [200, 500, 429, 500, 500, 200, 200].map((status) => see(health, answer(status)));
    expect(changes).toEqual([false, true, true, true, true, true, false]);
  });

  test.each<[Outcome, string]>([
    [answer(500), 'answered 500'],
    [failed('tls_failed'), 'tls_failed: why'],
  ])('has the reason of the last failure, and since when there is nothing else', (outcome, error) => {
    const health = newHealth();
    see(health, answer(418), NOW);
    see(health, outcome, NOW + 10);
    expect(health).toMatchObject({ lastError: error, failingSince: NOW, failures: 2 });
  });
});

test.each([
  ['after so many attempts in so long a time', 5, MINUTE, true],
  ['before the time is over', 5, MINUTE - 1, false],
  ['after too few attempts', 4, 10 * MINUTE, false],
  ['after more of both', 50, 10 * MINUTE, true],
  ['without a failure', 0, 10 * MINUTE, false],
])('an endpoint is hopeless %s: %i failures in %i ms is %s', (_when, failures, ms, hopeless) => {
  const health = failing(failures);
  expect(isHopeless(health, NOW + ms, LIMITS)).toBe(hopeless);
  see(health, answer(200));
  expect(isHopeless(health, NOW + ms, LIMITS)).toBe(false);
});
