import { CronExpressionParser } from 'cron-parser';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dueTime, nextRun } from '../../functions/worker/cron.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// The database says whether an expression is one; the library says when it is due.

let stack: TestStack;
beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
});
afterAll(() => stack?.stop());

const MONTHS = '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}';
const DAYS = '{sun,mon,tue,wed,thu,fri,sat}';

async function problems(expressions: string[]): Promise<(string | null)[]> {
  const { rows } = await stack.migrator.query<{ problem: string | null }>(
    'select app.cron_problem(e) as problem from unnest($1::text[]) with ordinality as t (e, nth) order by nth',
    [expressions],
  );
  return rows.map(({ problem }) => problem);
}

describe('an expression', () => {
  test('that is none is told why', async () => {
    const told = new Map([
      [
        '',
        'it has five fields, minute, hour, day of month, month, day of week, or is @hourly, @daily, @weekly, @monthly or @yearly',
      ],
      [
        '* * * * * *',
        'it has five fields, minute, hour, day of month, month, day of week, or is @hourly, @daily, @weekly, @monthly or @yearly',
      ],
      ['60 * * * *', 'the minute is not one: 60'],
      ['* 24 * * *', 'the hour is not one: 24'],
      ['* * 0 * *', 'the day of month is not one: 0'],
      ['* * * 13 *', 'the month is not one: 13'],
      ['* * * foo *', 'the month is not one: foo'],
      ['* * * * 8', 'the day of week is not one: 8'],
      ['*/0 * * * *', 'the minute is not one: */0'],
      ['5/15 * * * *', 'the minute is not one: 5/15'],
      ['30-10 * * * *', 'the minute is not one: 30-10'],
      ['1,,2 * * * *', 'the minute is not one: 1,,2'],
      ['H * * * *', 'the minute is not one: H'],
      ['* * L * *', 'the day of month is not one: L'],
      ['0 0 30 2 *', 'no month 2 has a day 30'],
      ['0 0 31 feb,apr,jun *', 'no month feb,apr,jun has a day 31'],
    ]);
    expect(await problems([...told.keys()])).toEqual([...told.values()]);
  });

  test('that is one passes, in all its forms', async () => {
    const good = [
      '* * * * *',
      '*/5 0-6/2 1,15 jan-mar,12 mon-fri',
      '0 0 29 2 *',
      '0 0 31 * *',
      '@daily',
      '0 0 * * SUN',
      '0 0 * * 7',
    ];
    expect(await problems(good)).toEqual(good.map(() => null));
  });

  test('that the database takes has the same values for the library', { timeout: 120_000 }, async () => {
    const item = (lowest: number, highest: number, names: string[]) => {
      const value = fc.oneof(
        fc.integer({ min: lowest - 1, max: highest + 2 }).map(String),
        fc.constantFrom('*', '', 'x', ...names),
      );
      return fc
        .tuple(
          value,
          fc.option(value, { nil: undefined }),
          fc.option(fc.integer({ min: 0, max: 70 }), { nil: undefined }),
        )
        .map(([from, to, step]) => `${from}${to === undefined ? '' : `-${to}`}${step === undefined ? '' : `/${step}`}`);
    };
    const field = (lowest: number, highest: number, names: string[] = []) =>
      fc.oneof(
        { weight: 2, arbitrary: fc.constant('*') },
        {
          weight: 3,
          arbitrary: fc
            .array(item(lowest, highest, names), { minLength: 1, maxLength: 3 })
            .map((items) => items.join(',')),
        },
      );
    const expression = fc
      .tuple(field(0, 59), field(0, 23), field(1, 31), field(1, 12, ['jan', 'Feb', 'DEC']), field(0, 7, ['sun', 'Fri']))
      .map((fields) => fields.join(' '));
    const expressions = fc.sample(expression, { numRuns: 20_000, seed: 7 });
    const verdicts = await problems(expressions);
    const taken = expressions.filter((_, nth) => verdicts[nth] === null);
    expect(taken.length).toBeGreaterThan(300);
    const { rows } = await stack.migrator.query<Record<'minute' | 'hour' | 'day' | 'month' | 'weekday', number[]>>(
      `select app.cron_values(f[1], 0, 59, null) as minute, app.cron_values(f[2], 0, 23, null) as hour,
         app.cron_values(f[3], 1, 31, null) as day, app.cron_values(f[4], 1, 12, '${MONTHS}') as month,
         app.cron_values(f[5], 0, 7, '${DAYS}') as weekday
       from unnest($1::text[]) with ordinality as t (e, nth), string_to_array(e, ' ') as f order by nth`,
      [taken],
    );
    const numbers = (values: readonly unknown[]) => [...new Set(values.map(Number))].toSorted((a, b) => a - b);
    for (const [nth, text] of taken.entries()) {
      const { fields } = CronExpressionParser.parse(text);
      const row = rows[nth];
      // The library leaves out days that none of the months has.
      const lastDay = Math.max(
        ...(row?.month ?? []).map((month) => (month === 2 ? 29 : [4, 6, 9, 11].includes(month) ? 30 : 31)),
      );
      const weekdays = numbers(row?.weekday ?? []);
      expect([text, numbers(fields.minute.values)]).toEqual([text, numbers(row?.minute ?? [])]);
      expect([text, numbers(fields.hour.values)]).toEqual([text, numbers(row?.hour ?? [])]);
      expect([text, numbers(fields.month.values)]).toEqual([text, numbers(row?.month ?? [])]);
      const days = (values: readonly unknown[]) => numbers(values).filter((day) => day <= lastDay);
      expect([text, days(fields.dayOfMonth.values)]).toEqual([text, days(row?.day ?? [])]);
      // 0 and 7 are both Sunday.
      const modulo = (values: number[]) => numbers(values.map((day) => day % 7));
      expect([text, modulo(numbers(fields.dayOfWeek.values))]).toEqual([text, modulo(weekdays)]);
      expect(CronExpressionParser.parse(text, { tz: 'Europe/Berlin' }).next().getTime()).toBeGreaterThan(0);
    }
  });
});

/** Its clock changes by half an hour. */
const LORD_HOWE = 'Australia/Lord_Howe';

describe('a time zone', () => {
  const known = async (zones: string[]) => {
    const { rows } = await stack.migrator.query<{ zone: string }>(
      'select zone from unnest($1::text[]) as zone where app.is_time_zone(zone)',
      [zones],
    );
    return rows.map(({ zone }) => zone);
  };

  test('that the library knows is known to the database', async () => {
    const zones = Intl.supportedValuesOf('timeZone').filter((zone) => zone.includes('/') && zone !== LORD_HOWE);
    expect(zones.length).toBeGreaterThan(300);
    expect(await known([...zones, 'UTC', 'Etc/GMT+5'])).toEqual([...zones, 'UTC', 'Etc/GMT+5']);
  });

  test('that the database takes is known to the library', async () => {
    const { rows } = await stack.migrator.query<{ name: string }>(
      'select name from pg_timezone_names where app.is_time_zone(name)',
    );
    expect(rows.length).toBeGreaterThan(400);
    const unknown = rows.filter(({ name }) => {
      try {
        new Intl.DateTimeFormat('en', { timeZone: name });
        return false;
      } catch {
        return true;
      }
    });
    expect(unknown).toEqual([]);
  });

  test('is no rule, abbreviation, offset or file', async () => {
    expect(
      await known([
        LORD_HOWE,
        LORD_HOWE.toUpperCase().replace('AUS', 'Aus'),
        'Australia/LHI',
        'Foo+5',
        'Foo/Bar',
        'Foo/Bar+5',
        'CEST',
        '+02:00',
        '2',
        'Etc/GMT+15',
        '../etc/passwd',
        'posixrules',
        '',
      ]),
    ).toEqual([]);
  });
});

describe('a clock change', () => {
  const berlin = (cron: string) => ({
    schedule_id: '01990000-0000-7000-8000-000000000000',
    cron,
    time_zone: 'Europe/Berlin',
    jitter_seconds: 0,
  });
  const runs = (cron: string, from: string, count: number) => {
    let at = new Date(from);
    return Array.from({ length: count }, () => {
      at = nextRun(berlin(cron), at);
      return at.toISOString().slice(0, 16);
    });
  };

  test('that skips an hour does not skip what was due in it', () => {
    expect(runs('30 2 * * *', '2026-03-28T12:00:00Z', 2)).toEqual(['2026-03-29T01:30', '2026-03-30T00:30']);
  });

  test('that skips an hour does not skip what a run in it is for', () => {
    const skipped = new Date('2026-03-29T01:30:00Z');
    const daily = berlin('30 2 * * *');
    expect(dueTime(daily, skipped, skipped)).toEqual(skipped);
    expect(dueTime(daily, new Date('2026-03-27T01:30:00Z'), new Date('2026-03-29T05:00:00Z'))).toEqual(skipped);
    const minutely = berlin('* * * * *');
    expect(dueTime(minutely, new Date('2026-01-01T00:00:00Z'), skipped)).toEqual(skipped);
  });

  test('of whichever zone leaves each run the time that it is for', () => {
    const changes: [zone: string, from: string][] = [
      ['Europe/Berlin', '2026-03-27'],
      ['Africa/Cairo', '2026-04-22'],
      ['Asia/Beirut', '2026-03-27'],
      ['America/Havana', '2026-03-06'],
      ['America/Santiago', '2026-09-04'],
      ['America/New_York', '2026-10-30'],
      ['Antarctica/Troll', '2026-03-27'],
      ['Antarctica/Troll', '2026-10-23'],
      ['Pacific/Chatham', '2026-09-25'],
    ];
    for (const [time_zone, from] of changes) {
      for (const cron of [
        '0 0 * * *',
        '30 0 * * *',
        '15 1 * * *',
        '0 2 * * *',
        '45 2 * * *',
        '0 */2 * * *',
        '0 3 * * 0',
      ]) {
        const schedule = { ...berlin(cron), time_zone };
        const end = Date.parse(from) + 4 * 86_400_000;
        let run = nextRun(schedule, new Date(from));
        while (run.getTime() < end) {
          expect([time_zone, cron, dueTime(schedule, run, run).toISOString()]).toEqual([
            time_zone,
            cron,
            run.toISOString(),
          ]);
          const next = nextRun(schedule, run);
          expect(next.getTime()).toBeGreaterThan(run.getTime());
          run = next;
        }
      }
    }
  });

  test('that repeats an hour repeats nothing that has one hour', () => {
    expect(runs('30 2 * * *', '2026-10-24T12:00:00Z', 2)).toEqual(['2026-10-25T00:30', '2026-10-26T01:30']);
  });

  test('leaves what runs every half hour as it is', () => {
    expect(runs('*/30 * * * *', '2026-10-24T23:59:00Z', 5)).toEqual([
      '2026-10-25T00:00',
      '2026-10-25T00:30',
      '2026-10-25T01:00',
      '2026-10-25T01:30',
      '2026-10-25T02:00',
    ]);
  });
});

describe('jitter', () => {
  const daily = (tail: string) => ({
    schedule_id: `01990000-0000-7000-8000-0000${tail}`,
    cron: '0 0 * * *',
    time_zone: 'UTC',
    jitter_seconds: 60,
  });

  test('moves each schedule by its own, the same each time, and not what the run is for', () => {
    const at = new Date('2026-05-01T12:00:00Z');
    const next = nextRun(daily('00000025'), at);
    expect(next.toISOString()).toBe('2026-05-02T00:00:37.000Z');
    expect(nextRun(daily('00000025'), next).toISOString()).toBe('2026-05-03T00:00:37.000Z');
    expect(dueTime(daily('00000025'), next, next).toISOString()).toBe('2026-05-02T00:00:00.000Z');
    expect(nextRun(daily('00000001'), at).toISOString()).toBe('2026-05-02T00:00:01.000Z');
  });

  test('does not change that of several missed runs the latest is made', () => {
    const missed = new Date('2026-05-02T00:00:37Z');
    const due = dueTime(daily('00000025'), missed, new Date('2026-05-09T08:00:00Z'));
    expect(due.toISOString()).toBe('2026-05-09T00:00:00.000Z');
  });
});
