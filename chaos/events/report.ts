import type { BenchReport } from '../../bench/report.ts';
import { round } from '../../bench/statistics.ts';
import { DONE } from './control.ts';
import type { Evidence, Verdict } from './judge.ts';
import type { Kills } from './kills.ts';

export interface Findings {
  verdict: Verdict;
  control: Record<keyof typeof DONE, Verdict>;
  evidence: Evidence;
  kills: Kills;
  killsWanted: number;
  faults: Record<string, number>;
  drainSeconds: number;
}

const listed = (counts: Record<string, number>) =>
  Object.entries(counts)
    .map(([name, times]) => `${name} ${times}`)
    .join(', ');

export function report(findings: Findings): BenchReport & { passed: boolean } {
  const { verdict, control, evidence, kills, killsWanted, faults, drainSeconds } = findings;
  const { written, receipts, dead } = evidence;
  const found = (key: keyof typeof DONE) => control[key][key] - verdict[key];
  const bites = (Object.keys(DONE) as (keyof typeof DONE)[]).every((key) => found(key) === DONE[key]);
  const line = (name: string, key: Exclude<keyof Verdict, 'examples'>) => [
    name,
    verdict[key],
    key in DONE ? found(key as keyof typeof DONE) : '',
  ];
  const wrong = verdict.lost + verdict.phantom + verdict.misordered + verdict.altered + verdict.unverified;
  return {
    title: 'Is every committed event delivered, none that was not committed, and in order where that is promised?',
    head: ['', 'counted', 'control'],
    rows: [
      line('events committed', 'committed'),
      line('deliveries due', 'due'),
      ['requests that came', receipts.length, ''],
      line('never delivered', 'lost'),
      line('never committed, or not asked for', 'phantom'),
      line('after a later one of their order', 'misordered'),
      line('delivered again, with the same id', 'duplicates'),
      line('delivered again, changed', 'altered'),
      line('signature not valid', 'unverified'),
    ],
    notes: [
      `Killed: ${listed(kills.counts)}; stopped for a while: workers ${kills.stalled()}; ended by themselves: ${listed(kills.fallen) || 'none'}. Receivers: ${listed(faults)}.`,
      `Rolled back on purpose: ${written.rolledBack.size} events; answered with an error, or not: ${written.unknown} writes.`,
      `Given up after ten attempts: ${dead.size}. What was left when all ran and accepted again took ${drainSeconds.toFixed(1)} s.`,
      ...verdict.examples,
      `The control leaves out ${DONE.lost} deliveries, adds ${DONE.phantom} and swaps ${DONE.misordered} pairs: it has to find these.`,
    ],
    figures: {
      committed: verdict.committed,
      lost: verdict.lost,
      phantom: verdict.phantom,
      misordered: verdict.misordered,
      duplicates: verdict.duplicates,
      kills: kills.total(),
      due: verdict.due,
      altered: verdict.altered,
      unverified: verdict.unverified,
      requests: receipts.length,
      rolled_back: written.rolledBack.size,
      unknown: written.unknown,
      dead: dead.size,
      stalled: kills.stalled(),
      fallen: Object.values(kills.fallen).reduce((sum, times) => sum + times, 0),
      faults: Object.values(faults).reduce((sum, times) => sum + times, 0),
      drain_s: round(drainSeconds, 1),
      control_lost: found('lost'),
      control_phantom: found('phantom'),
      control_misordered: found('misordered'),
    },
    // Where nothing was killed or rolled back, or a judge finds nothing where there is something, nothing was shown.
    passed: wrong === 0 && bites && kills.total() >= killsWanted && written.rolledBack.size > 0,
  };
}
