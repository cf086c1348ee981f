import { expect, test } from 'vitest';
import { leftOfQuiet, parseQuietHours, untilQuiet } from '../../functions/tune/quiet-hours.ts';
import { parseRequestLine } from '../../functions/tune/requests.ts';
import { shapeName } from '../../functions/tune/shape.ts';
import { findSkew, type Partition } from '../../functions/tune/skew.ts';
import { parseStatement } from '../../functions/tune/stat-statements.ts';
import { errorOf } from '../../functions/tune/try-statistics.ts';

test.each([
  ['02:00-05:00', '2026-01-01T03:00:00', 0, 120],
  ['02:00-05:00', '2026-01-01T01:30:00', 30, 0],
  ['02:00-05:00', '2026-01-01T05:00:00', 21 * 60, 0],
  ['22:30-04:00', '2026-01-01T01:00:00', 0, 180],
  ['22:30-04:00', '2026-01-01T22:00:00', 30, 0],
])('quiet hours %s begin, at %s, in %i minutes, and end in %i', (hours, now, until, left) => {
  const parsed = parseQuietHours(hours);
  if (!parsed) throw new Error('not read');
  expect([untilQuiet(parsed, new Date(now)) / 60_000, leftOfQuiet(parsed, new Date(now)) / 60_000]).toEqual([
    until,
    left,
  ]);
});

test.each(['2:00-5:00', '02:00', '25:00-26:00', '02:00-02:00'])('quiet hours are not written %s', (text) => {
  expect(parseQuietHours(text)).toBeUndefined();
});

const partition = (nth: number, rows: number, common: string[], blocks = 0): Partition => ({
  ...{ table: 'app.t', partition: `app.t_p0${nth}`, rows, blocks, written: 0, hot: 0, tenants: common.length, common },
  frequencies: common.map(() => 1 / common.length),
});

test('a tenant skews that has four times the average of the others, or a quarter of the work', () => {
  const even = ['t_a', 't_b', 't_c', 't_d'].map((id, nth) => partition(nth, 20_000, [id]));
  expect(findSkew(even, 0.05)).toEqual([]);
  const [first, ...others] = even as [Partition, ...Partition[]];
  expect(findSkew([{ ...first, rows: 100_000 }, ...others], 0.05)).toMatchObject([{ tenant_id: 't_a', times: 5 }]);
  expect(findSkew([{ ...first, rows: 100_000 }, ...others], 0.9)).toEqual([]);
  const busy = even.map((one, nth) => ({ ...one, blocks: nth === 2 ? 50_000 : 1000 }));
  expect(findSkew(busy, 0.05)).toMatchObject([{ tenant_id: 't_c', work: expect.closeTo(49_000 / 53_000, 5) }]);
  const neighbours = busy.map((one, nth) =>
    nth === 2 ? { ...one, common: ['t_c', 't_e', 't_f'], frequencies: [0.4, 0.3, 0.3] } : one,
  );
  expect(findSkew(neighbours, 0.05)).toEqual([]); // whose work it is cannot be told
});

const head = 'WITH pgrst_source AS ( SELECT "v1"."jobs".* FROM "v1"."jobs" ';
const tail =
  ' )  SELECT $9::bigint AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total FROM ( SELECT * FROM pgrst_source ) _postgrest_t';

test.each([
  ['', '/v1/jobs'],
  [
    ' WHERE  "v1"."jobs"."status" = $1  ORDER BY "v1"."jobs"."created_at" DESC , "v1"."jobs"."id" ASC NULLS FIRST LIMIT $2 OFFSET $3',
    '/v1/jobs?status=eq.…&order=created_at.desc,id.nullsfirst&limit=…',
  ],
  [
    ' WHERE  "v1"."jobs"."status" = ANY ($1)  AND  "v1"."jobs"."attempts" >= $2   LIMIT $3 OFFSET $4',
    '/v1/jobs?status=in.(…)&attempts=gte.…&limit=…',
  ],
  [
    ' WHERE NOT "v1"."jobs"."error" IS NULL AND  "v1"."jobs"."result" IS NULL  ',
    '/v1/jobs?error=not.is.null&result=is.null',
  ],
])('a list is read back from what PostgREST sends: %#', (conditions, name) => {
  const shape = parseStatement(head + conditions + tail);
  expect(shape && shapeName(shape)).toBe(name);
  expect(parseRequestLine(name)?.shape).toEqual(shape);
});

test.each([
  [' WHERE  ( "v1"."jobs"."status" = $1 OR  "v1"."jobs"."attempts" > $2)   LIMIT $3 OFFSET $4'],
  [' WHERE  "v1"."jobs"."type" like $1  '],
  [' WHERE NOT "v1"."jobs"."status" = $1  '],
  [' LEFT JOIN LATERAL ( SELECT 1 ) AS "x" ON $4   '],
])('what else PostgREST sends is not taken for a list: %#', (conditions) => {
  expect(parseStatement(head + conditions + tail)).toBeUndefined();
});

test('an estimate that is ten times too low is as wrong as one that is ten times too high', () => {
  expect([errorOf(1, 10), errorOf(100, 10), errorOf(0, 1)]).toEqual([10, 10, 1]);
});
