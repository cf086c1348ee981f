import { spawn, spawnSync } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { renderPage } from '../../bench/html/page.ts';
import { lengthOf } from '../../bench/load/answer.ts';
import { runLoad } from '../../bench/load.ts';
import { watchProcesses } from '../../bench/processes.ts';
import type { Result } from '../../bench/result.ts';
import { renderResults } from '../../bench/results/markdown.ts';
import { orderOf, ratioOf, runRounds, type Sample } from '../../bench/rounds.ts';
import { until } from '../../functions/stack/until.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

const sample = (requestsPerSecond: number): Sample => ({
  ...{ requests: 100, requestsPerSecond, p50Ms: 1.25, p95Ms: 2.5, p99Ms: 3.75 },
  cpuMicrosPerRequest: { postgres: 300, postgrest: 500 },
});

const sides = [{ name: 'ours' }, { name: 'theirs' }, { name: 'others' }];

describe('rounds', () => {
  it('puts each side before each other one as often as after it', () => {
    const before: Record<string, number> = {};
    for (let nth = 0; nth < 2 * sides.length; nth++) {
      const names = orderOf(sides, nth).map(({ name }) => name);
      for (const [at, name] of names.entries()) {
        for (const later of names.slice(at + 1)) before[`${name} ${later}`] = (before[`${name} ${later}`] ?? 0) + 1;
      }
    }
    expect(Object.values(before)).toEqual(Array(6).fill(sides.length));
  });

  it('keeps every round but the warm-up', async () => {
    const asked: string[] = [];
    const samples = await runRounds(sides, { rounds: 2, progress: () => {} }, async ({ name }, nth) => {
      asked.push(`${nth} ${name}`);
      return sample(nth);
    });
    expect(asked).toEqual([
      '0 ours',
      '0 theirs',
      '0 others',
      '1 ours',
      '1 theirs',
      '1 others',
      '2 others',
      '2 theirs',
      '2 ours',
    ]);
    expect([...samples.values()].map((taken) => taken.map((one) => one.requestsPerSecond))).toEqual(
      Array(3).fill([1, 2]),
    );
  });

  it('takes ratios within rounds, so that a slow round is slow for both', () => {
    const samples = new Map([
      [{ name: 'ours' }, [sample(200), sample(20), sample(300)]],
      [{ name: 'theirs' }, [sample(100), sample(10), sample(100)]],
    ]);
    expect(ratioOf(samples, 'ours', 'theirs')).toEqual({ median: 2, low: 2, high: 3 });
    expect(ratioOf(samples, 'ours', 'theirs', 'p50Ms')).toEqual({ median: 1, low: 1, high: 1 });
    expect(ratioOf(samples, 'ours', 'nobody')).toBeNull();
  });
});

describe('the load', () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  async function serve(answer: (url: string) => { status: number; body: string }): Promise<string> {
    server = createServer((request, response) => {
      const { status, body } = answer(request.url ?? '');
      response.writeHead(status);
      response.write(body); // in chunks
      response.end();
    });
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  it('asks its list in turn over all connections and tells microseconds', async () => {
    const asked: Record<string, number> = {};
    const origin = await serve((url) => {
      asked[url] = (asked[url] ?? 0) + 1;
      return { status: 200, body: 'found' };
    });
    const requests = ['/a', '/b', '/c'].map((path) => ({ path, headers: {} }));
    const result = await runLoad({ origin, requests, connections: 2, seconds: 0.2 });
    expect(result.requests).toBe(Object.values(asked).reduce((sum, count) => sum + count, 0));
    expect(Math.max(...Object.values(asked)) - Math.min(...Object.values(asked))).toBeLessThanOrEqual(1);
    expect(Object.keys(asked)).toHaveLength(3);
    expect(result.p50Ms).toBeGreaterThan(0);
    expect(result.p99Ms).toBeGreaterThanOrEqual(result.p50Ms);
  });

  it('refuses to count what is not 2xx, and shows it', async () => {
    const origin = await serve(() => ({ status: 429, body: 'slowly' }));
    const requests = [{ path: '/', headers: {} }];
    await expect(runLoad({ origin, requests, connections: 1, seconds: 1 })).rejects.toThrow(/answered 429: .*slowly/s);
  });

  it('sees the end of an answer wherever the network cut it', () => {
    const answers = [
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n2;x=y\r\n\r\n\r\n0\r\n\r\n',
      'HTTP/1.1 204 No Content\r\nx: y\r\n\r\n',
    ];
    for (const answer of answers.map((text) => Buffer.from(text))) {
      expect(lengthOf(answer)).toBe(answer.length);
      for (let cut = 0; cut < answer.length; cut++) {
        expect(lengthOf(answer.subarray(0, cut)) ?? answer.length).toBe(answer.length);
      }
    }
  });
});

describe.runIf(process.platform === 'linux')('processes', () => {
  it('counts the CPU of a descendant that has come and gone', async () => {
    // By its own clock: on a busy machine 300 ms may pass with 50 ms of CPU.
    const busy = `while (process.cpuUsage().user < 300_000);`;
    const child = spawn('sh', ['-c', `read go; "${process.execPath}" -e '${busy}'; echo done; read end`]);
    try {
      const watch = watchProcesses({ shell: child.pid as number });
      let done = false;
      child.stdout.once('data', () => {
        done = true;
      });
      child.stdin.write('\n');
      expect(await until(() => done, { timeoutMs: 20_000 })).toBe(true);
      const { cpuMicrosPerRequest, rssMb } = watch.stop(2);
      expect(cpuMicrosPerRequest.shell).toBeGreaterThan(50_000);
      expect(rssMb.shell).toBeGreaterThan(0);
    } finally {
      child.kill();
    }
  });
});

const result: Result = {
  speed: 1.5,
  slowness: 3,
  unknown: null,
  run: {
    ...{ title: 'Is it <fast>?', head: ['', 'requests/s'], rows: [['ours | theirs', 4321]], notes: ['Read on.'] },
    ...{ question: 'wall', quick: true, at: '2030-01-02T03:04:05Z', seconds: 60, versions: { PostgreSQL: '18.4' } },
    machine: { cpu: 'A processor', cores: 2, memoryGb: 8, system: 'Linux 6.1', busyBefore: 0.4 },
    bars: { speed: { atLeast: 1.25 }, slowness: { atMost: 2 }, unknown: { atLeast: 1 } },
    samples: { 'our <side>': [sample(4321)] },
    plans: { list: '0.2 ms to run\n\nIndex Scan on files_p09' },
  },
};

describe('the page', () => {
  it('shows figures, bars, samples and plans, and needs nothing but itself', () => {
    const page = renderPage(result);
    for (const text of [
      '<code>speed</code></td><td>1.5',
      '4,321 per second',
      'Index Scan on files_p09',
      'A processor',
    ]) {
      expect(page).toContain(text);
    }
    expect(page).toContain('<td>≥ 1.25</td><td class="met">met</td>');
    expect(page).toContain('<td>≤ 2</td><td class="missed">missed</td>');
    expect(page).toContain('<td>–</td><td>≥ 1</td><td class="missed">missed</td>');
    expect(page).toContain('our &lt;side&gt;, postgrest: 500 µs');
    expect(page).toContain('40 % of it was busy before the run');
    expect(page).not.toMatch(/<script|<link|<img|https?:|url\(|<fast>/);
  });
});

describe('the results', () => {
  it('name what was met, what was missed, and what failed', () => {
    const text = renderResults([result], [{ question: 'peers', failure: 'Error: no network' }]);
    expect(text).toContain('## Bars: 1 met, 2 missed');
    expect(text).toContain('| [wall](wall/README.md) | `slowness` | 3 | ≤ 2 | **missed** |');
    expect(text).toContain('2030-01-02, with `--quick`: A processor, 2 cores, 8 GB, Linux 6.1. PostgreSQL 18.4.');
    expect(text).toContain('; 60 s; 40 % of it was busy before the run)');
    expect(text).toContain('**peers failed:** Error: no network');
    expect(text).toContain('| ours \\| theirs | 4321 |');
  });
});

describe('npm run bench', () => {
  it('ends with 2 for a question that does not exist, naming those that do', () => {
    for (const script of ['bench/run.ts', 'bench/results/main.ts']) {
      const { status, stderr } = spawnSync(process.execPath, [script, 'nothing'], { cwd: ROOT, encoding: 'utf8' });
      expect(stderr).toMatch(/no benchmark called nothing; there are: .*edge, events, footprint/);
      expect(status).toBe(2);
    }
  });
});
