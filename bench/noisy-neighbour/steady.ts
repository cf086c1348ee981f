import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Agent, request } from 'undici';
import { headersOf, PATH } from './target.ts';

export interface SteadyOptions {
  origin: string;
  token: string;
  requestsPerSecond: number;
  seconds: number;
}

export interface Steady {
  latenciesMs: number[];
  /** Anything but 200. */
  errors: number;
}

/**
 * Asks at a steady pace, whether it was answered or not: a slow answer does not make the next ones fewer (no coordinated omission).
 * In a process of its own, so that nothing else waits for the same turn of an event loop.
 */
export async function askSteadily(options: SteadyOptions): Promise<Steady> {
  const child = fork(fileURLToPath(import.meta.url), { execArgv: [] });
  child.send(options);
  const [steady] = (await once(child, 'message')) as [Steady];
  await once(child, 'exit');
  return steady;
}

async function ask({ origin, token, requestsPerSecond, seconds }: SteadyOptions): Promise<Steady> {
  const dispatcher = new Agent({ connections: 8, keepAliveTimeout: 30_000 });
  const steady: Steady = { latenciesMs: [], errors: 0 };
  const one = async (record: boolean) => {
    const began = performance.now();
    const { statusCode, body } = await request(`${origin}${PATH}`, { headers: headersOf(token), dispatcher });
    await body.dump();
    if (!record) return;
    steady.latenciesMs.push(performance.now() - began);
    if (statusCode !== 200) steady.errors++;
  };
  for (let warm = 0; warm < 10; warm++) await one(false);
  const asked: Promise<void>[] = [];
  const start = performance.now();
  for (let nth = 0; nth < requestsPerSecond * seconds; nth++) {
    // Not in step with anything that happens every 50 ms.
    const due = start + ((nth + Math.random()) / requestsPerSecond) * 1000;
    await delay(Math.max(0, due - performance.now()));
    asked.push(one(true).catch(() => void steady.errors++));
  }
  await Promise.all(asked);
  await dispatcher.close();
  return steady;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.once('message', async (options: SteadyOptions) => {
    process.send?.(await ask(options), () => process.disconnect());
  });
}
