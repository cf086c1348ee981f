import type { Memory } from '../processes.ts';
import type { BenchReport } from '../report.ts';
import { spread } from '../rounds.ts';
import { median, round } from '../statistics.ts';
import type { Disk } from './disk.ts';
import type { Started } from './start.ts';

type ByProcess = Record<string, Memory>;

const mb = (value: number | undefined) => (value === undefined ? '' : value.toFixed(1));
const total = (memory: ByProcess, of: keyof Memory) => Object.values(memory).reduce((sum, each) => sum + each[of], 0);

export function report(
  starts: readonly Started[],
  memory: Record<'idle' | 'worked', ByProcess>,
  disk: Disk,
): BenchReport {
  const { idle, worked } = memory;
  const [first, ...later] = starts as [Started, ...Started[]];
  const ready = spread(later.map(({ readySeconds }) => readySeconds));
  const steps = Object.keys(first.steps).map((title) => {
    const [once, again] = [first.steps[title] ?? 0, median(later.map((start) => start.steps[title] ?? 0))];
    return `${title} ${again.toFixed(2)} (first ${once.toFixed(2)})`;
  });
  const row = (name: string, of: (memory: ByProcess, field: keyof Memory) => number | undefined) => [
    name,
    mb(of(idle, 'anonymousMb')),
    mb(of(idle, 'fileMb')),
    mb(of(idle, 'sharedMb')),
    mb(of(worked, 'anonymousMb')),
  ];
  return {
    title: 'How soon is it ready, and what does it hold when nothing happens?',
    head: ['MB', 'own, idle', 'programs', 'shared buffers', 'own, after load'],
    rows: [...Object.keys(idle).map((name) => row(name, (of, field) => of[name]?.[field])), row('all', total)],
    notes: [
      `Ready in ${ready.median.toFixed(2)} s (${ready.low.toFixed(2)} to ${ready.high.toFixed(2)}, ${later.length} starts), the first time in ${first.readySeconds.toFixed(2)} s.`,
      `Seconds: ${steps.join(', ')}.`,
      `Disk: ${Math.round(disk.stackMb)} MB for a stack with two demo tenants, ${Math.round(disk.walMb)} of them write-ahead log, and ` +
        `${Math.round(disk.installedMb)} MB of node_modules with PostgreSQL, PostgREST and Node.js.`,
      'programs: pages of executables and libraries, which are counted for each process that has touched them. See bench/footprint/README.md.',
    ],
    figures: {
      ready_s: round(ready.median, 2),
      idle_mb: round(total(idle, 'anonymousMb'), 1),
      first_ready_s: round(first.readySeconds, 2),
      slowest_ready_s: round(ready.high, 2),
      idle_proportional_mb: round(total(idle, 'proportionalMb'), 1),
      idle_after_load_mb: round(total(worked, 'anonymousMb'), 1),
      disk_mb: round(disk.stackMb, 1),
      disk_wal_mb: round(disk.walMb, 1),
      installed_mb: Math.round(disk.installedMb),
    },
    bars: { ready_s: { atMost: 5 }, idle_mb: { atMost: 400 } },
  };
}
