import type { BenchReport } from '../report.ts';
import { type Ratio, ratioOf, type Sample } from '../rounds.ts';
import { median } from '../statistics.ts';
import { SHAPES, type Shape } from './shapes.ts';
import type { Side } from './sides.ts';

/** By shape; sides that did not take part in one are not in it. */
export type Measured = Record<Shape, Map<Side, Sample[]>>;

const OURS = 'direct';

const BARS = {
  vs_supabase_style: { atLeast: 1.25 },
  vs_rls_service: { atLeast: 1.1 },
  vs_postgraphile: { atLeast: 2 },
  vs_prisma: { atLeast: 2 },
};

const TITLES: Record<Shape, string> = { list: 'list', by_key: 'by key', embed: 'filter, embed, count', mixed: 'mixed' };

export interface ReportOptions {
  plans: Record<string, string>;
  /** Why PostGraphile and Prisma took no part. */
  missing: string | undefined;
}

export function report(measured: Measured, { plans, missing }: ReportOptions): BenchReport {
  const sides = [...measured.list.keys()];
  const figures: Record<string, number | null> = {};
  const spreads: Record<string, Ratio> = {};
  for (const shape of SHAPES) {
    for (const { name } of sides) {
      const ratio = name === OURS ? null : ratioOf(measured[shape], OURS, name);
      if (!ratio) continue;
      const key = keyOf(name, shape);
      figures[key] = ratio.median;
      spreads[key] = ratio;
    }
  }
  // A bar whose side could not be measured is not left out.
  for (const key of Object.keys(BARS)) figures[key] ??= null;

  return {
    title: 'How fast is PostgREST behind the wall beside what people would use instead?',
    head: [
      'requests per second, ours to it',
      ...SHAPES.map((shape) => TITLES[shape]),
      'p99 of a list',
      'CPU of a list',
    ],
    rows: sides.map((side) => [
      side.title,
      ...SHAPES.map((shape) => cell(measured[shape].get(side), spreads[keyOf(side.name, shape)])),
      `${median((measured.list.get(side) ?? []).map(({ p99Ms }) => p99Ms)).toFixed(1)} ms`,
      cpuOf(measured.list.get(side) ?? []),
    ]),
    notes: [
      '100 tenants with 200 files and 200 jobs each, 20 of them asked in turn from 32 connections; load, servers and PostgreSQL share the machine.',
      'Ratios: ours to theirs, median of rounds (lowest to highest). CPU in µs of a request: server + PostgreSQL. See bench/peers/README.md.',
      ...(missing ? [missing] : []),
    ],
    figures,
    bars: BARS,
    samples: Object.fromEntries(
      SHAPES.flatMap((shape) =>
        [...measured[shape]].map(([{ title }, samples]) => [`${TITLES[shape]}: ${title}`, samples] as const),
      ),
    ),
    plans,
  };
}

const keyOf = (name: string, shape: Shape) => `vs_${name}${shape === 'list' ? '' : `_${shape}`}`;

function cell(samples: readonly Sample[] | undefined, ratio: Ratio | undefined): string {
  if (!samples) return '';
  const rate = Math.round(median(samples.map(({ requestsPerSecond }) => requestsPerSecond)));
  return ratio ? `${rate}  ×${ratio.median.toFixed(2)} (${ratio.low.toFixed(2)}–${ratio.high.toFixed(2)})` : `${rate}`;
}

function cpuOf(samples: readonly Sample[]): string {
  const of = (process: string) => {
    const values = samples.flatMap(({ cpuMicrosPerRequest }) => cpuMicrosPerRequest?.[process] ?? []);
    return values.length > 0 ? `${Math.round(median(values))}` : '–';
  };
  return `${of('server')} + ${of('postgres')}`;
}
