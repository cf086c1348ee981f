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

/** The last time of the schedule whose run is due at `now`: of several that were missed, the latest. */
export function dueTime(schedule: Schedule, now: Date): Date {
  // prev() looks for earlier times alone, and one may be due this very moment.
  return parse(schedule, new Date(now.getTime() - delayMs(schedule) + 1))
    .prev()
    .toDate();
}
