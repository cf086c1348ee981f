import { setTimeout as sleep } from 'node:timers/promises';

/** Minutes after midnight, by the clock of this machine. `to` may be smaller: over midnight. */
export interface QuietHours {
  from: number;
  to: number;
}

const DAY = 24 * 60;

/** Reads `02:00-05:00`; undefined for anything else. */
export function parseQuietHours(text: string): QuietHours | undefined {
  const [, ...parts] = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/.exec(text) ?? [];
  if (parts.length < 4) return undefined;
  const [hour = 0, minute = 0, endHour = 0, endMinute = 0] = parts.map(Number);
  const hours = { from: hour * 60 + minute, to: endHour * 60 + endMinute };
  return hours.from === hours.to ? undefined : hours;
}

const minuteOf = (now: Date) => now.getHours() * 60 + now.getMinutes() + now.getSeconds() / 60;
const ahead = (from: number, to: number) => (((to - from) % DAY) + DAY) % DAY;

/** Milliseconds until they begin: 0 within them. */
export function untilQuiet({ from, to }: QuietHours, now: Date): number {
  const minute = minuteOf(now);
  const within = ahead(from, minute) < ahead(from, to);
  return within ? 0 : Math.ceil(ahead(minute, from) * 60_000);
}

/** Milliseconds until they end: 0 outside of them. */
export function leftOfQuiet(hours: QuietHours, now: Date): number {
  return untilQuiet(hours, now) > 0 ? 0 : Math.floor(ahead(minuteOf(now), hours.to) * 60_000);
}

/** A timer of more than this fires at once; and clocks change. */
const LONGEST_SLEEP = 60_000;

/** Waits until quiet hours begin. @throws AbortError when `signal` says so */
export async function awaitQuiet(hours: QuietHours, signal: AbortSignal): Promise<void> {
  for (;;) {
    const wait = untilQuiet(hours, new Date());
    if (wait === 0) return;
    await sleep(Math.min(wait, LONGEST_SLEEP), undefined, { signal });
  }
}
