import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ValidationResult } from '../../functions/csv/validate.ts';
import type { Bench } from '../report.ts';
import { withStack } from '../stack.ts';
import { median, round } from '../statistics.ts';
import { writeOrders } from './data.ts';
import { openValidator } from './worker.ts';

const execute = promisify(execFile);

interface Measured {
  seconds: number;
  rss_mb: number;
}

/** In a process of its own, so that its peak memory is its own. */
async function parseBare(path: string): Promise<Measured> {
  const { stdout } = await execute(process.execPath, [join(import.meta.dirname, 'bare.ts'), path]);
  return JSON.parse(stdout) as Measured;
}

const bench: Bench = ({ quick, progress }) =>
  withStack(progress, async ({ info, directory, pids }) => {
    const [rows, rounds] = quick ? [200_000, 3] : [1_000_000, 5];
    const path = join(directory, 'orders.csv');
    progress(`writing ${rows} rows`);
    await writeOrders(path, rows);
    const { size } = await stat(path);
    const validator = await openValidator(info, pids().worker as number, path);
    try {
      const bare: Measured[] = [];
      const job: { seconds: number; result: ValidationResult }[] = [];
      for (let nth = 1; nth <= rounds; nth++) {
        progress(`round ${nth} of ${rounds}`);
        const runBare = async () => bare.push(await parseBare(path));
        const runJob = async () => job.push(await validator.validate());
        // Alternate who goes first: a machine that slows down in the middle of a round then hits both alike.
        for (const side of nth % 2 === 1 ? [runBare, runJob] : [runJob, runBare]) await side();
      }
      return report(rows, size, bare, job, validator.peakRss());
    } finally {
      await validator.close();
    }
  });

export default bench;

function report(
  rows: number,
  bytes: number,
  bare: Measured[],
  job: { seconds: number; result: ValidationResult }[],
  jobRss: number,
) {
  const megabytes = bytes / 1e6;
  const bareSeconds = median(bare.map((run) => run.seconds));
  const jobSeconds = median(job.map((run) => run.seconds));
  const ratio = median(job.map((run, round) => (bare[round] as Measured).seconds / run.seconds));
  const bareRss = Math.max(...bare.map((run) => run.rss_mb));
  const { result } = job[0] as { result: ValidationResult };
  if (result.rows !== rows) throw new Error(`The job saw ${result.rows} rows of ${rows}`);
  const line = (name: string, seconds: number, rss: number, speed: number) => [
    name,
    seconds.toFixed(2),
    Math.round(rows / seconds).toLocaleString('en'),
    (megabytes / seconds).toFixed(1),
    Math.round(rss),
    speed.toFixed(2),
  ];
  return {
    title: `csv.validate against bare csv-parse: ${rows.toLocaleString('en')} rows, ${megabytes.toFixed(0)} MB`,
    head: ['', 'seconds', 'rows/s', 'MB/s', 'peak RSS MB', 'speed'],
    rows: [
      line('csv-parse, records thrown away', bareSeconds, bareRss, 1),
      line('csv.validate in the worker', jobSeconds, jobRss, ratio),
    ],
    notes: [
      `${result.findings} findings in ${result.invalid_rows} rows. Seconds are medians of ${job.length} alternating rounds,`,
      'speed the median of their ratios, memory the highest of all rounds: of the real worker, behind the wall, for ours.',
    ],
    figures: {
      vs_bare_parse: round(ratio),
      worker_rss_mb: Math.round(jobRss),
      rows,
      bytes,
      bare_seconds: round(bareSeconds),
      job_seconds: round(jobSeconds),
      rows_per_second: Math.round(rows / jobSeconds),
      bare_rss_mb: Math.round(bareRss),
      findings: result.findings,
    },
    bars: { vs_bare_parse: { atLeast: 0.5 }, worker_rss_mb: { atMost: 300 } },
  };
}
