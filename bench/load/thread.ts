import { setTimeout as delay } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import type { LoadOptions, LoadResult } from '../load.ts';
import { percentiles, round } from '../statistics.ts';
import { type Connection, connect, encode } from './connection.ts';

/** What is not answered this long after the end never will be. */
const PATIENCE_MS = 60_000;

async function run({ origin, requests, connections, seconds }: LoadOptions): Promise<LoadResult> {
  const url = new URL(origin);
  const encoded = requests.map((request) => encode(url, request));
  const open = await Promise.all(Array.from({ length: connections }, () => connect(url)));
  const latencies: number[] = [];
  let next = 0;
  let inTime = 0;
  const end = performance.now() + seconds * 1000;
  /** One list for all connections: each request of it is asked equally often. */
  async function ask(connection: Connection): Promise<void> {
    for (;;) {
      const began = performance.now();
      if (began >= end) return;
      const { status, text } = await connection.send(encoded[next++ % encoded.length] as Buffer);
      const answered = performance.now();
      if (status < 200 || status > 299) throw new Error(`answered ${status}: ${text().slice(0, 500)}`);
      latencies.push(answered - began);
      if (answered < end) inTime++;
    }
  }
  const all = Promise.all(open.map(ask));
  const late = delay(seconds * 1000 + PATIENCE_MS, undefined, { ref: false }).then(() => {
    throw new Error(`no answer for ${PATIENCE_MS / 1000} s`);
  });
  try {
    await Promise.race([all, late]);
  } finally {
    for (const connection of open) connection.close();
  }
  const shown = percentiles(latencies, [0.5, 0.95, 0.99]).map((milliseconds) => round(milliseconds));
  const [p50Ms, p95Ms, p99Ms] = shown as [number, number, number];
  return { requests: latencies.length, requestsPerSecond: round(inTime / seconds, 1), p50Ms, p95Ms, p99Ms };
}

try {
  parentPort?.postMessage(await run(workerData as LoadOptions));
} catch (error) {
  parentPort?.postMessage({ failure: (error as Error).message });
}
