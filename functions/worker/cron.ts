import { CronExpressionParser } from 'cron-parser';

export interface Schedule {
  schedule_id: string;
  cron: string;
  time_zone: string;
  jitter_seconds: number;
}

const parse = ({ cron, time_zone }: Schedule, currentDate: Date) =>
  CronExpressionParser.parse(cron, { tz: time_zone, currentDate });

/** How long after its time a schedule runs: of the random end of its id, so the same each time, and another for each schedule. */
const delayMs = ({ schedule_id, jitter_seconds }: Schedule): number =>
  (Number.parseInt(schedule_id.slice(-8), 16) % (jitter_seconds + 1)) * 1000;

/**
 * When a schedule runs next. A time that a clock change skips is run at the change's end; one that comes twice, once, unless the hour
 * is `*`.
 * @throws Error where the zone or expression is not known to the library
 */
export function nextRun(schedule: Schedule, after: Date): Date {
  const next = parse(schedule, new Date(after.getTime() - delayMs(schedule)))
    .next()
    .getTime();
  return new Date(next + delayMs(schedule));
}

/** The last time before this one that the library knows looking back: none that a clock change has skipped; and some it never finds. */
function lastBefore(schedule: Schedule, before: Date): Date | undefined {
  try {
    return parse(schedule, before).prev().toDate();
  } catch {
    return undefined;
  }
}

/** Looking back has missed one; where it has found nothing, this many are caught up with. */
const MOST_STEPS = 100;

/**
 * The last time of the schedule whose run is due at `now`: of several that were missed, the latest.
 * @param expected when it was to run next, as nextRun() said
 */
export function dueTime(schedule: Schedule, expected: Date, now: Date): Date {
  const delay = delayMs(schedule);
  const last = new Date(now.getTime() - delay);
  // prev() looks for earlier times alone, and one may be due this very moment.
  let due = lastBefore(schedule, new Date(last.getTime() + 1)) ?? new Date(expected.getTime() - delay);
  for (let step = 0; step < MOST_STEPS; step++) {
    const next = parse(schedule, due).next().toDate();
    if (next > last) break;
    due = next;
  }
  return due;
}
