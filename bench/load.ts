import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/** One request of a load; the load goes through its list over and over. */
export interface LoadRequest {
  /** Default GET. */
  method?: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  path: string;
  headers: Record<string, string>;
  body?: string;
}

export interface LoadResult {
  requests: number;
  requestsPerSecond: number;
  p50Ms: number;
  p95Ms: number;
  p99Ms: number;
}

export interface LoadOptions {
  origin: string;
  requests: readonly LoadRequest[];
  connections: number;
  seconds: number;
}

/**
 * A closed loop of HTTP/1.1 connections, in a thread of its own: each asks for the next request of the list when it has been answered.
 * @throws Error where anything but 2xx came back: what was measured would not be the answers
 */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const thread = new Worker(new URL('load/thread.ts', import.meta.url), { workerData: options, execArgv: [] });
  // Both at once: a thread's last message may be handed over in the very turn in which it ends.
  const [[message]] = (await Promise.all([once(thread, 'message'), once(thread, 'exit')])) as [
    [LoadResult | { failure: string }],
    unknown,
  ];
  if ('failure' in message) throw new Error(`${options.origin}: ${message.failure}`);
  return message;
}
