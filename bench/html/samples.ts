import type { Sample } from '../rounds.ts';
import { median } from '../statistics.ts';
import { escaped } from './escaped.ts';
import { barPlot, type Row } from './plots.ts';

type Samples = Record<string, Sample[]>;
type PerProcess = 'cpuMicrosPerRequest' | 'rssMb';

/** Plots of what was measured of each side; empty for a question without samples. */
export function sampleFigures(samples: Samples): string {
  const measured = Object.fromEntries(Object.entries(samples).filter(([, taken]) => taken.length > 0));
  if (Object.keys(measured).length === 0) return '';
  const latencies = (
    [
      ['p50Ms', 'p50'],
      ['p95Ms', 'p95'],
      ['p99Ms', 'p99'],
    ] as const
  ).map(([of, name]) =>
    figure(
      `Latency, ${name}`,
      'ms',
      'Milliseconds, less is better; median of rounds, and all of them.',
      sideRows(measured, of),
    ),
  );
  return [
    figure(
      'Requests per second',
      'per second',
      'More is better. Median of rounds; the line goes from the slowest to the fastest.',
      sideRows(measured, 'requestsPerSecond'),
    ),
    ...latencies,
    figure(
      'CPU for a request',
      'µs',
      'Microseconds by process, user and system; less is better. Median of rounds.',
      processRows(measured, 'cpuMicrosPerRequest'),
    ),
    figure(
      'Memory',
      'MB',
      'MB by process at the end of a round: resident; PostgreSQL’s shared buffers by themselves.',
      processRows(measured, 'rssMb'),
    ),
  ].join('\n');
}

function figure(title: string, unit: string, caption: string, rows: readonly Row[]): string {
  if (rows.length === 0) return '';
  return `<h2>${escaped(title)}</h2><figure>${barPlot(rows, unit)}<figcaption>${escaped(caption)}</figcaption></figure>`;
}

function sideRows(samples: Samples, of: 'requestsPerSecond' | 'p50Ms' | 'p95Ms' | 'p99Ms'): Row[] {
  return Object.entries(samples).map(([name, taken]) => {
    const values = taken.map((sample) => sample[of]);
    return { name, parts: [{ name: of, value: median(values) }], spread: [Math.min(...values), Math.max(...values)] };
  });
}

function processRows(samples: Samples, of: PerProcess): Row[] {
  return Object.entries(samples).flatMap(([name, taken]) => {
    const measured = taken.map((sample) => sample[of] ?? {});
    const processes = [...new Set(measured.flatMap((sample) => Object.keys(sample)))];
    const parts = processes.map((process) => ({
      name: process,
      value: median(measured.map((sample) => sample[process] ?? 0)),
    }));
    return parts.length > 0 ? [{ name, parts }] : [];
  });
}
