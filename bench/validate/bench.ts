import { execFile } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ValidationResult } from '../../functions/csv/validate.ts';
import { openStack } from '../../functions/stack/supervisor.ts';
import { type Bench, median } from '../report.ts';
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

const bench: Bench = async ({ quick, progress }) => {
  const [rows, rounds] = quick ? [200_000, 3] : [1_000_000, 5];
  const directory = await mkdtemp(join(tmpdir(), 'rowhouse-bench-'));
  const stack = await openStack({ directory });
  let validator: Awaited<ReturnType<typeof openValidator>> | undefined;
  try {
    for (const step of stack.steps) progress(await step.run(() => {}));
    const path = join(directory, 'orders.csv');
    progress(`writing ${rows} rows`);
    await writeOrders(path, rows);
    const { size } = await stat(path);
    validator = await openValidator(stack.info, directory, path);
    const { validate } = validator;
    const bare: Measured[] = [];
    const job: { seconds: number; result: ValidationResult }[] = [];
    for (let round = 1; round <= rounds; round++) {
      progress(`round ${round} of ${rounds}`);
      const runBare = async () => bare.push(await parseBare(path));
      const runJob = async () => job.push(await validate());
      // Alternate who goes first: a machine that slows down in the middle of a round then hits both alike.
      for (const side of round % 2 === 1 ? [runBare, runJob] : [runJob, runBare]) await side();
    }
    return report(rows, size, bare, job, validator.peakRss());
  } finally {
    await validator?.close();
    await stack.stop();
    await rm(directory, { recursive: true, force: true });
  }
};

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
      vs_bare_parse: Number(ratio.toFixed(3)),
      worker_rss_mb: Math.round(jobRss),
      rows,
      bytes,
      bare_seconds: Number(bareSeconds.toFixed(3)),
      job_seconds: Number(jobSeconds.toFixed(3)),
      rows_per_second: Math.round(rows / jobSeconds),
      bare_rss_mb: Math.round(bareRss),
      findings: result.findings,
    },
  };
}
