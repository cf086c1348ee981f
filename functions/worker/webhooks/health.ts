import type { Outcome } from './outgoing/outcome.ts';
import { isSuccess, isThrottle } from './outgoing/retry.ts';

/** What the attempts of an endpoint say about its receiver: the circuit breaker, and how much it may get at once. */
export interface Health {
  circuit: 'closed' | 'open' | 'half_open';
  /** How often the circuit has opened since the last success. */
  opened: number;
  /** Nothing is sent until then, in milliseconds since 1970; 0: it may be sent now. */
  pausedUntil: number;
  /** When the first attempt failed since the last one that succeeded; null: the last one succeeded. */
  failingSince: number | null;
  /** Attempts that failed since then. */
  failures: number;
  lastError: string | null;
  /** Deliveries under way at the same time: halved when the receiver has too much to do, grown by what succeeds. */
  window: number;
  throttled: number;
}

export interface HealthLimits {
  /** Failures in a row that open the circuit. */
  circuitFailures: number;
  /** For how long it is open the first time; each further time twice as long, up to half an hour. */
  circuitOpenMs: number;
  /** An endpoint is disabled when nothing has succeeded for so long, in at least so many attempts. */
  disableAfterMs: number;
  disableAttempts: number;
}

const LONGEST_OPEN_MS = 30 * 60_000;
const FIRST_WINDOW = 16;
const LARGEST_WINDOW = 128;
/** A receiver that says it has too much to do gets nothing for this long, doubled each time, unless it says for how long. */
const THROTTLE_MS = 500;
const LONGEST_THROTTLE_MS = 60_000;
/** Of a Retry-After, for the whole endpoint; the delivery itself waits for all of it. */
const LONGEST_PAUSE_MS = 10 * 60_000;

export function newHealth(): Health {
  return {
    circuit: 'closed',
    opened: 0,
    pausedUntil: 0,
    failingSince: null,
    failures: 0,
    lastError: null,
    window: FIRST_WINDOW,
    throttled: 0,
  };
}

/** What is shown of an attempt that failed, and kept with it. */
export function errorOf(outcome: Outcome): string | null {
  return outcome.kind === 'failed' ? outcome.reason : null;
}

/**
 * Takes note of an attempt.
 * @returns whether it changed what other workers have to know
 */
export function observe(health: Health, outcome: Outcome, now: number, limits: HealthLimits): boolean {
  if (isSuccess(outcome)) {
    // One that was under way when the circuit opened: there was no need for it.
    if (health.circuit !== 'closed') health.pausedUntil = 0;
    const changed = health.failures > 0 || health.circuit !== 'closed';
    health.window = Math.min(LARGEST_WINDOW, health.window + 1 / Math.max(1, health.window / 4));
    Object.assign(health, {
      circuit: 'closed',
      opened: 0,
      failingSince: null,
      failures: 0,
      lastError: null,
      throttled: 0,
    });
    return changed;
  }
  health.failingSince ??= now;
  health.failures += 1;
  health.lastError =
    outcome.kind === 'response' ? `answered ${outcome.status}` : `${outcome.reason}: ${outcome.detail}`;
  if (isThrottle(outcome)) {
    health.window = Math.max(1, health.window / 2);
    const asked = outcome.kind === 'response' ? (outcome.retryAfterSeconds ?? 0) * 1000 : 0;
    const backoff = Math.min(LONGEST_THROTTLE_MS, THROTTLE_MS * 2 ** Math.min(health.throttled, 10));
    // Those that were under way together say it together: that is once.
    if (health.pausedUntil <= now) health.throttled += 1;
    health.pausedUntil = Math.max(health.pausedUntil, now + Math.min(LONGEST_PAUSE_MS, Math.max(asked, backoff)));
  }
  const opens =
    health.circuit === 'half_open' || (health.circuit === 'closed' && health.failures >= limits.circuitFailures);
  if (opens) {
    const open = Math.min(LONGEST_OPEN_MS, limits.circuitOpenMs * 2 ** Math.min(health.opened, 20));
    health.circuit = 'open';
    health.opened += 1;
    health.pausedUntil = Math.max(health.pausedUntil, now + open * (0.9 + 0.2 * Math.random()));
  }
  // Every failure: between two deliveries the lease may be given back, and whoever has it next counts on from what is stored.
  return true;
}

/** Whether anything may be sent now; an open circuit whose time is over lets one delivery through. */
export function admits(health: Health, underWay: number, now: number): boolean {
  if (health.pausedUntil > now) return false;
  if (health.circuit === 'open') health.circuit = 'half_open';
  return underWay < (health.circuit === 'half_open' ? 1 : Math.floor(health.window));
}

export function isHopeless(health: Health, now: number, limits: HealthLimits): boolean {
  return (
    health.failingSince !== null &&
    health.failures >= limits.disableAttempts &&
    now - health.failingSince >= limits.disableAfterMs
  );
}
