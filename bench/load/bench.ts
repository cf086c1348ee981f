import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import autocannon from 'autocannon';
import { type LoadOptions, type LoadResult, runLoad } from '../load.ts';
import type { Bench } from '../report.ts';
import { ratioOf, runRounds, samplesByName } from '../rounds.ts';
import { median, round } from '../statistics.ts';

interface Side {
  name: string;
  run(options: LoadOptions): Promise<LoadResult>;
}

const SIDES: readonly Side[] = [
  { name: 'this one', run: runLoad },
  { name: 'autocannon', run: runAutocannon },
];

const bench: Bench = async ({ quick, progress }) => {
  const [rounds, seconds] = quick ? [4, 2] : [8, 5];
  const server = fork(fileURLToPath(new URL('server.ts', import.meta.url)), { execArgv: [] });
  try {
    const [origin] = (await once(server, 'message')) as [string];
    const requests = [{ path: '/', headers: { authorization: `Bearer ${'x'.repeat(300)}` } }];
    const samples = await runRounds(SIDES, { rounds, progress }, async ({ run }) => {
      const before = process.cpuUsage();
      const result = await run({ origin, requests, connections: 32, seconds });
      const { user, system } = process.cpuUsage(before);
      return { ...result, cpuMicrosPerRequest: { load: round((user + system) / result.requests, 1) } };
    });
    const cpu = (name: string) =>
      median(samplesByName(samples)[name]?.map((sample) => sample.cpuMicrosPerRequest?.load ?? Number.NaN) ?? []);
    const rows = Object.entries(samplesByName(samples)).map(([name, taken]) => [
      name,
      round(cpu(name), 1),
      Math.round(median(taken.map((sample) => sample.requestsPerSecond))),
      round(median(taken.map((sample) => sample.p50Ms)), 2),
      round(median(taken.map((sample) => sample.p99Ms)), 2),
    ]);
    return {
      title: 'What does the load itself cost?',
      head: ['', 'µs of CPU a request', 'requests/s', 'p50 ms', 'p99 ms'],
      rows,
      notes: ['32 connections to a server that does nothing but answer 2 kB in chunks, as PostgREST does.'],
      figures: {
        cpu_vs_autocannon: round(cpu('this one') / cpu('autocannon')),
        requests_vs_autocannon: ratioOf(samples, 'this one', 'autocannon')?.median ?? null,
        cpu_us: round(cpu('this one'), 1),
      },
      bars: { cpu_vs_autocannon: { atMost: 1 } },
      samples: samplesByName(samples),
    };
  } finally {
    server.kill();
  }
};

export default bench;

async function runAutocannon({ origin, requests, connections, seconds }: LoadOptions): Promise<LoadResult> {
  const asked = requests.map((request) => ({ method: 'GET' as const, ...request }));
  const result = await autocannon({ url: origin, connections, duration: seconds, workers: 1, requests: asked });
  const { latency, '2xx': answered, duration } = result;
  // Without p95, which it has not.
  return {
    ...{ requests: answered, requestsPerSecond: answered / duration },
    ...{ p50Ms: latency.p50, p95Ms: latency.p97_5, p99Ms: latency.p99 },
  };
}
