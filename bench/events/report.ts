import type { BenchReport } from '../report.ts';
import { cpuRatioOf, ratioOf, type Sample, samplesByName } from '../rounds.ts';
import { median, round } from '../statistics.ts';
import type { measureBacklog } from './backlog.ts';
import type { measureDelivery } from './delivery.ts';
import type { measureDispatch } from './dispatch.ts';
import { type Fairness, p95 } from './fairness.ts';
import type { measureLedger } from './ledger.ts';
import type { measureReceipt } from './receipt.ts';

type Of<F extends (...given: never[]) => Promise<unknown>> = Awaited<ReturnType<F>>;

export interface Measured {
  ledger: Of<typeof measureLedger>;
  /** Requests a second that the receiver takes from a load. */
  receiver: number;
  delivery: Of<typeof measureDelivery>;
  receipt: Of<typeof measureReceipt>;
  fairness: Fairness;
  queued: number;
  dispatch: Of<typeof measureDispatch>;
  backlog: Of<typeof measureBacklog>;
  quick: boolean;
}

type Samples<S extends { name: string }> = Map<S, Sample[]>;

const middle = (samples: readonly Sample[] = [], of: (sample: Sample) => number | undefined) =>
  median(samples.map((sample) => of(sample) ?? 0));

/** One line for each side: its rate, how it compares, and the CPU of one of it. */
function lines<S extends { name: string }>(title: string, samples: Samples<S>, to: string): (string | number)[][] {
  return [...samples].map(([{ name }, taken]) => {
    const ratio = name === to ? null : ratioOf(samples, name, to);
    const cpu = taken[0]?.cpuMicrosPerRequest ?? {};
    const micros = Object.keys(cpu).map(
      (process) => `${process} ${Math.round(middle(taken, (sample) => sample.cpuMicrosPerRequest?.[process]))}`,
    );
    const rate = middle(taken, ({ requestsPerSecond }) => requestsPerSecond);
    return [
      `${title}: ${name}`,
      rate < 100 ? rate.toFixed(1) : Math.round(rate),
      ratio ? `${ratio.median} (${ratio.low}–${ratio.high})` : '',
      micros.join(', '),
    ];
  });
}

export function report(measured: Measured): BenchReport {
  const { ledger, delivery, receipt, fairness, dispatch, backlog } = measured;
  const ratio = <S extends { name: string }>(samples: Samples<S>, side: string, to: string) =>
    ratioOf(samples, side, to)?.median ?? null;
  const fairRatio = p95(fairness.beside) / p95(fairness.alone);
  const cpu = Object.entries(receipt.cpu.cpuMicrosPerRequest).map(([name, micros]) => `${name} ${Math.round(micros)}`);
  const milliseconds = (values: readonly number[]) =>
    `p50 ${median(values).toFixed(1)}, p95 ${p95(values).toFixed(1)} ms`;
  return {
    title:
      'How fast do events reach whoever wants them, beside pg-boss and graphile-worker, and what do they cost who writes?',
    head: ['', 'per second', 'beside the last of its kind', 'CPU µs of one'],
    rows: [
      ...lines('entries to', dispatch, 'insert'),
      ...lines('dispatch, backlog', backlog, 'empty'),
      ...lines('delivery', delivery, 'plain'),
      ...lines('POST of one row', ledger.single, 'unrecorded'),
      ...lines('POST of 10,000 rows', ledger.bulk, 'unrecorded'),
      ...lines('insert of 10,000 rows', ledger.sql, 'unrecorded'),
    ],
    notes: [
      `Receipt at 100 events a second: p50 ${receipt.p50Ms.toFixed(1)}, p95 ${receipt.p95Ms.toFixed(1)}, p99 ${receipt.p99Ms.toFixed(1)} ms of ${receipt.count}; CPU µs an event: ${cpu.join(', ')}.`,
      `Small tenant alone: ${milliseconds(fairness.alone)} of ${fairness.alone.length}; beside ${measured.queued} deliveries of a large one, queued ${fairness.rounds} times and delivered at ${Math.round(fairness.drainedPerSecond)}/s: ${milliseconds(fairness.beside)} of ${fairness.beside.length}.`,
      `The receiver takes ${Math.round(measured.receiver)} requests a second from a load. See bench/events/README.md.`,
    ],
    figures: {
      dispatch_vs_send: ratio(dispatch, 'jobs', 'send'),
      dispatch_vs_insert: ratio(dispatch, 'jobs', 'insert'),
      dispatch_vs_graphile_add_job: ratio(dispatch, 'jobs', 'add_job'),
      dispatch_vs_graphile_add_jobs: ratio(dispatch, 'jobs', 'add_jobs'),
      webhook_dispatch_vs_send: ratio(dispatch, 'webhooks', 'send'),
      webhook_dispatch_vs_insert: ratio(dispatch, 'webhooks', 'insert'),
      delivery_vs_naive: ratio(delivery, 'rowhouse', 'plain'),
      delivery_vs_batched: ratio(delivery, 'rowhouse', 'batched'),
      delivery_vs_graphile: ratio(delivery, 'rowhouse', 'graphile'),
      delivery_vs_graphile_batched: ratio(delivery, 'rowhouse', 'graphile, batched'),
      deliveries_per_s: Math.round(rateOfSide(delivery, 'rowhouse')),
      receiver_per_s: Math.round(measured.receiver),
      receipt_p50_ms: round(receipt.p50Ms, 1),
      receipt_p99_ms: round(receipt.p99Ms, 1),
      backlog_ratio: ratio(backlog, 'backlog', 'empty'),
      fair_p95_ratio: round(fairRatio, 2),
      ledger_single_ratio: ratio(ledger.single, 'recorded', 'unrecorded'),
      ledger_bulk_ratio: ratio(ledger.bulk, 'recorded', 'unrecorded'),
      ledger_single_followed_ratio: ratio(ledger.single, 'followed', 'unrecorded'),
      ledger_bulk_followed_ratio: ratio(ledger.bulk, 'followed', 'unrecorded'),
      ledger_single_cpu_ratio: cpuRatioOf(ledger.single, 'recorded', 'unrecorded')?.median ?? null,
      ledger_bulk_cpu_ratio: cpuRatioOf(ledger.bulk, 'recorded', 'unrecorded')?.median ?? null,
      ledger_bulk_sql_ratio: ratio(ledger.sql, 'recorded', 'unrecorded'),
    },
    bars: {
      dispatch_vs_send: { atLeast: 5 },
      dispatch_vs_insert: { atLeast: 0.5 },
      delivery_vs_naive: { atLeast: 3 },
      deliveries_per_s: { atLeast: 1000 },
      receipt_p50_ms: { atMost: 25 },
      receipt_p99_ms: { atMost: 150 },
      backlog_ratio: { atLeast: 0.8 },
      fair_p95_ratio: { atMost: 2 },
      ledger_single_ratio: { atLeast: 0.85 },
      ledger_bulk_ratio: { atLeast: 0.6 },
    },
    samples: {
      ...samplesByName(dispatch),
      ...samplesByName(delivery),
      ...prefixed('ledger', ledger.single),
      ...prefixed('ledger 10,000', ledger.bulk),
      ...prefixed('dispatch', backlog),
    },
  };
}

const rateOfSide = <S extends { name: string }>(samples: Samples<S>, name: string) =>
  middle(samplesByName(samples)[name], ({ requestsPerSecond }) => requestsPerSecond);

const prefixed = <S extends { name: string }>(prefix: string, samples: Samples<S>) =>
  Object.fromEntries(Object.entries(samplesByName(samples)).map(([name, taken]) => [`${prefix}: ${name}`, taken]));
